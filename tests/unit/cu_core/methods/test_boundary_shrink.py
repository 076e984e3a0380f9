from __future__ import annotations

import math

import pytest
import torch

from cu_core.methods.boundary_shrink import BoundaryShrink
from cu_core.types import Batch, UnlearnBatch
from tests.unit.cu_core.methods.tiny import LN3, Linear, batch, context, outputs, preparation


def test_the_nearest_class_is_the_one_across_the_boundary() -> None:
    # On (1, 1) the classes answer 1, 0.97, 0.95. The step lowers the first pixel and raises the second by 0.255, after
    # which class 1 has 0.6 * 0.745 + 0.37 * 1.255 = 0.91 and class 2 has 0.95 * 1.255 = 1.19: class 2 is nearest.
    model = Linear([[1.0, 0.0], [0.6, 0.37], [0.0, 0.95]])
    prep = preparation(model, [[0.0, 90.0], [100.0, 100.0], [5.0, 5.0]], [2, 0, 1], forget=[1])
    assert BoundaryShrink(epsilon=0.1).prepare(prep) == 2
    assert prep.state["ids"].tolist() == [101]
    assert prep.state["nearest"].tolist() == [2]


def test_a_class_that_is_to_be_forgotten_too_is_not_the_nearest() -> None:
    model = Linear([[1.0, 0.0], [0.6, 0.37], [0.0, 0.95]])
    prep = preparation(model, [[0.0, 90.0], [100.0, 100.0], [5.0, 5.0]], [2, 0, 1], forget=[0, 1])
    BoundaryShrink(epsilon=0.1).prepare(prep)
    assert prep.state["nearest"].tolist() == [1, 1]  # classes 2 and 0 go; 1 remains


def test_forget_rows_take_the_nearest_class() -> None:
    state = {"ids": torch.tensor([3, 8]), "nearest": torch.tensor([0, 1])}
    rows = Batch(torch.zeros(1, 1, 1, 1), torch.tensor([0]), torch.tensor([8]))
    given = context(forget=outputs([[LN3, 0.0]]), state=state)
    losses = BoundaryShrink().losses(given, UnlearnBatch(rows, batch([], []).retain))
    assert losses.total.item() == pytest.approx(math.log(4))
