from __future__ import annotations

import numpy as np
import pytest

from cu_core.methods.ssd import SSD, importances
from cu_core.types import Batch
from tests.golden.plain_losses import cross_entropy
from tests.golden.tiny_model import SEEDS, Case, Gradients, answers, backward, same, weights_of
from tests.golden.tiny_split import joined, preparation


def importance(weights: Gradients, batch: Batch) -> Gradients:
    """Mean over rows of the squared gradient of -log p(label), one row at a time."""
    total = {n: np.zeros_like(w) for n, w in weights.items()}
    for row, label in enumerate(batch.labels.tolist()):
        seen = answers(weights, batch.images[row : row + 1])
        found, _ = backward(weights, seen, {"logits": cross_entropy(seen.logits, [label])[1]})
        for name, gradient in found.items():
            total[name] += gradient**2 / len(batch)
    return total


@pytest.mark.parametrize("seed", [0, 1, 3])
@pytest.mark.parametrize(("alpha", "factor"), [(10.0, 1.0), (1.2, 1.5), (0.5, 0.8)])
def test_weights_that_matter_to_forget_rows_shrink(seed: int, alpha: float, factor: float) -> None:
    """w <- w min(1, lambda I_rest / I_forget) where I_forget > alpha I_rest (equations 5 and 6), else w."""
    case = Case(seed, "class")
    before = weights_of(case.models[0])
    forget, rest = importance(before, case.batch.forget), importance(before, case.batch.retain)
    wanted, changed = {n: w.copy() for n, w in before.items()}, 0
    for name, weight in before.items():
        for place in np.ndindex(weight.shape):
            if forget[name][place] > alpha * rest[name][place]:
                wanted[name][place] *= min(1.0, factor * rest[name][place] / forget[name][place])
                changed += 1
    assert 0 < changed < sum(w.size for w in before.values())
    method = SSD() if alpha == 10.0 else SSD(alpha=alpha, lambda_dampening=factor)
    assert method.prepare(preparation(case)) == len(case.batch.forget) + len(case.batch.retain)
    same(weights_of(case.models[0]), wanted)


@pytest.mark.parametrize("seed", SEEDS)
def test_importance_is_the_mean_of_squares_and_not_the_square_of_the_mean(seed: int) -> None:
    """18 rows, more than are held at a time."""
    case = Case(seed)
    wanted = importance(weights_of(case.models[0]), joined(case.batch.forget, case.batch.retain))
    found = importances(preparation(case), np.arange(18))
    same({f"body.{n}": g.numpy() for n, g in found.items()}, wanted)


def test_at_most_num_rows_of_each_set_are_measured() -> None:
    case = Case(0)
    assert SSD(num_rows=3).prepare(preparation(case)) == 6
    assert SSD(num_rows=9).prepare(preparation(Case(0))) == len(case.batch.forget) + 9
