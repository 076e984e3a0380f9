from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from cu_core.methods.impostor import Impostor
from tests.unit.cu_core.methods.tiny import LN3, Linear, batch, context, outputs


def test_each_trick_by_hand() -> None:
    """The forget row answers (3/4, 1/4) to class 0, the retain row the same, its own label."""
    for trick, label, hidden in (
        ("one_class", 0, math.log(4 / 3)),
        ("uniform", 0, (math.log(4 / 3) + math.log(4)) / 2),
        ("head_only", 0, math.log(4)),  # of two classes the wrong one is the other
    ):
        given = context(forget=outputs([[LN3, 0.0]]), retain=outputs([[LN3, 0.0]]))
        losses = Impostor(trick=trick).losses(given, batch([label], [0]))
        assert losses.total.item() == pytest.approx(hidden + math.log(4 / 3))


def test_only_the_last_layer_keeps_its_gradient() -> None:
    model = nn.Sequential(Linear([[1.0, 0.0]]), nn.Linear(1, 2))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    Impostor(trick="uniform").edit_gradients(context(model=model))
    assert all(p.grad is not None for p in model.parameters())
    Impostor(trick="head_only").edit_gradients(context(model=model))
    assert [p.grad is not None for p in model.parameters()] == [False, False, True, True]
