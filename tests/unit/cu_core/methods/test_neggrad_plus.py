from __future__ import annotations

import math

import pytest

from cu_core.methods.neggrad_plus import NegGradPlus
from tests.unit.cu_core.methods.tiny import LN3, batch, context, outputs


def test_retain_falls_and_forget_rises_with_the_stated_weights() -> None:
    given = context(forget=outputs([[LN3, 0.0]]), retain=outputs([[0.0, LN3]]))
    losses = NegGradPlus(beta=0.8).losses(given, batch([0], [0]))
    assert losses.total.item() == pytest.approx(0.8 * math.log(4) - 0.2 * math.log(4 / 3))
