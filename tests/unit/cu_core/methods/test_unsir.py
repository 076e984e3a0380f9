from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from cu_core.methods.unsir import Unsir
from tests.unit.cu_core.methods.tiny import LN3, Linear, batch, context, outputs, preparation


def test_the_noise_of_a_class_is_what_the_original_gets_wrong() -> None:
    model = Linear([[1.0, 0.0], [0.0, 1.0]])
    errors = {}
    for steps in (1, 40):
        prep = preparation(model, [[100.0, 0.0], [0.0, 100.0]], [0, 1], forget=[1])
        method = Unsir(noise_rows=8, noise_steps=steps, noise_penalty=0.001)
        assert method.prepare(prep) == 8 * steps
        assert prep.state["noise"].shape == (1, 8, 1, 1, 2)
        logits = model(prep.state["noise"][0]).logits
        errors[steps] = F.cross_entropy(logits, torch.ones(8, dtype=torch.int64)).item()
    assert errors[40] > errors[1] + 1


def test_impair_steps_train_on_noise_and_repair_steps_do_not() -> None:
    state = {"noise": torch.zeros(1, 64, 1, 1, 1), "classes": torch.tensor([1])}
    out = {"noise": outputs([[LN3, 0.0]]), "retain": outputs([[LN3, 0.0]])}
    totals = []
    for step in (0, 4, 5, 9):
        given = context(step=step, state=state, **out)
        totals.append(Unsir().losses(given, batch([1], [0])).total.item())
    impair, repair = math.log(4 / 3) + math.log(4), math.log(4 / 3)
    assert totals == pytest.approx([impair, impair, repair, repair])
