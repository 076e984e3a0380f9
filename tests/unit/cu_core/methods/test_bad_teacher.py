from __future__ import annotations

import math

import pytest

from cu_core.methods.bad_teacher import BadTeacher
from tests.unit.cu_core.methods.tiny import LN3, batch, context, outputs


def test_the_untrained_model_teaches_forget_rows_and_the_original_retain_rows() -> None:
    given = context(
        forget=outputs([[LN3, 0.0]]),
        retain=outputs([[0.0, 0.0]]),
        untrained={"forget": outputs([[0.0, 0.0]])},
        reference={"retain": outputs([[LN3, 0.0]])},
    )
    losses = BadTeacher(lambda_forget=2.0).losses(given, batch([0], [1]))
    forget = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    retain = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert losses.total.item() == pytest.approx(2 * forget + retain)
