from __future__ import annotations

import math

import pytest

from cu_core.methods.gradient_ascent import GradientAscent
from tests.unit.cu_core.methods.tiny import LN3, batch, context, outputs


def test_the_loss_of_forget_rows_goes_up() -> None:
    out = outputs([[LN3, 0.0]])
    losses = GradientAscent().losses(context(forget=out), batch([0], [1, 1]))
    assert losses.total.item() == pytest.approx(math.log(3 / 4))
    losses.total.backward()
    assert out.logits.grad is not None
    # d(-CE)/d logits = label - p: a step against it takes the label's logit down
    assert out.logits.grad[0].tolist() == pytest.approx([1 - 3 / 4, -1 / 4])
