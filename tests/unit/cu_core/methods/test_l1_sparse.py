from __future__ import annotations

import math

import pytest

from cu_core.methods.l1_sparse import L1Sparse
from tests.unit.cu_core.methods.tiny import LN3, Linear, batch, context, outputs


@pytest.mark.parametrize(("step", "left"), [(0, 1.0), (5, 0.5), (9, 0.1)])
def test_the_norm_of_all_weights_fades_over_the_run(step: int, left: float) -> None:
    model = Linear([[1.0, -2.0], [0.5, 0.0]])
    given = context(step=step, model=model, retain=outputs([[0.0, LN3]]))
    losses = L1Sparse(gamma=0.1).losses(given, batch([], [0]))
    assert losses.total.item() == pytest.approx(math.log(4) + 0.1 * left * 3.5)
