from __future__ import annotations

import numpy as np
import pytest

from cu_core.methods.l1_sparse import L1Sparse
from tests.golden.plain_losses import cross_entropy
from tests.golden.tiny_model import SEEDS, Case, expected, run, same, weights_of


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("step", [0, 1, 4, 7])
@pytest.mark.parametrize("gamma", [None, 0.02])
def test_gamma_falls_linearly_to_zero_over_the_run(seed: int, step: int, gamma: float | None) -> None:
    """CE(retain) + gamma (1 - t / T) |weights|_1; of eight steps the fifth has half of gamma."""
    case = Case(seed, step=step, max_steps=8)
    entropy, d_entropy = cross_entropy(case.seen("retain").logits, case.labels("retain"))
    weights = weights_of(case.models[0])
    norm = sum(float(abs(x)) for w in weights.values() for x in w.flat)
    factor = (5e-4 if gamma is None else gamma) * (8 - step) / 8
    losses, found = run(L1Sparse() if gamma is None else L1Sparse(gamma=gamma), case)
    assert losses.total.item() == pytest.approx(entropy + factor * norm, rel=1e-10)
    terms = {"loss": entropy + factor * norm, "retain_loss": entropy, "l1_norm": norm}
    assert {n: t.item() for n, t in losses.terms.items()} == pytest.approx(terms, rel=1e-10)
    wanted = expected(case, {"retain": {"logits": d_entropy}})
    same(found, {n: g + factor * np.where(weights[n] > 0, 1.0, -1.0) for n, g in wanted.items()})


def test_frozen_weights_have_no_part_in_the_norm() -> None:
    case = Case(0)
    case.models[0].body.first.weight.requires_grad_(False)
    losses, _ = run(L1Sparse(), case)
    norm = sum(float(np.abs(w).sum()) for n, w in weights_of(case.models[0]).items() if n != "body.first.weight")
    assert losses.terms["l1_norm"].item() == pytest.approx(norm, rel=1e-10)
