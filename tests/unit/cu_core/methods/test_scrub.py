from __future__ import annotations

import math

import pytest

from cu_core.methods.scrub import Scrub
from tests.unit.cu_core.methods.tiny import LN3, batch, context, outputs

KL = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)  # teacher (3/4, 1/4), student (1/2, 1/2)


def loss_at(step: int) -> float:
    student, teacher = outputs([[0.0, 0.0]]), outputs([[LN3, 0.0]])
    given = context(step=step, forget=student, retain=student, reference={"forget": teacher, "retain": teacher})
    method = Scrub(alpha=0.3, gamma=0.5, max_frac=0.4, temperature=1.0)
    return method.losses(given, batch([0], [0])).total.item()


def test_forget_and_retain_steps_take_turns_and_then_retain_steps_remain() -> None:
    away, near = -KL, 0.3 * KL + 0.5 * math.log(2)
    assert [loss_at(step) for step in range(8)] == pytest.approx([away, near, away, near, near, near, near, near])
