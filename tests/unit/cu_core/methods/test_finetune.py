from __future__ import annotations

import math

import pytest

from cu_core.methods.finetune import FineTune
from tests.unit.cu_core.methods.tiny import LN3, batch, context, outputs


def test_it_is_the_cross_entropy_of_retain_rows() -> None:
    out = outputs([[0.0, LN3], [LN3, 0.0]])  # p(label) = 1/4 and 3/4
    losses = FineTune().losses(context(retain=out), batch([1], [0, 0]))
    assert losses.total.item() == pytest.approx(-(math.log(1 / 4) + math.log(3 / 4)) / 2)
