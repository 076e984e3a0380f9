from __future__ import annotations

import math

import pytest

from cu_core.methods.fanchuan import Fanchuan
from tests.unit.cu_core.methods.tiny import LN3, batch, context, outputs


def test_uniform_then_contrast_and_retain_in_turn_then_retain() -> None:
    out = {"forget": outputs([[LN3, 0.0]]), "retain": outputs([[1.0, 0.0], [0.0, 5.0]])}
    method = Fanchuan(uniform_frac=0.2, contrast_until=0.6, temperature=1.0, lambda_contrast=0.5)
    totals = [method.losses(context(step=s, **out), batch([0], [0, 1])).total.item() for s in range(8)]
    uniform = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    # forget . retain = (LN3, 0): softmax (3/4, 1/4), whose mean -log is the contrast
    contrast = 0.5 * -(math.log(0.75) + math.log(0.25)) / 2
    retain = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-5))) / 2
    assert totals == pytest.approx([uniform, uniform, contrast, retain, contrast, retain, retain, retain])
