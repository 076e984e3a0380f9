from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from cu_core.metrics.resolution import detectable_shift, row_correlation


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Of means over models and rows."""
    return float(a.mean() - b.mean())


@pytest.mark.parametrize(("models", "rows", "correlation"), [(4, 1, 0.0), (8, 25, 0.5), (4, 9, 1.0), (8, 10_000, 0.0)])
def test_the_shift_is_the_closed_form_s_for_a_difference_of_means(models: int, rows: int, correlation: float) -> None:
    """The excess is a mean of changed models less one of plain ones, of variance 2 / N (rho + (1 - rho) / T), whatever
    the references are: found in 80% from (z(.95) + z(.8)) standard deviations on."""
    spread = np.sqrt(2 / models * (correlation + (1 - correlation) / rows))
    exact = (norm.ppf(0.95) + norm.ppf(0.8)) * spread
    found = detectable_shift(difference, models, rows, correlation, draws=400 if rows < 100 else 40)
    if exact > 2.1:
        assert found is None
    else:
        assert found is not None
        assert exact - 0.15 < found < exact + 0.25 + 0.15  # in steps of 0.25; 400 draws


def test_seed_and_draws_alone_decide() -> None:
    first, again = (detectable_shift(difference, 6, 3, draws=50) for _ in range(2))
    assert first == again
    assert len({detectable_shift(difference, 6, 3, draws=8, seed=seed) for seed in range(12)}) > 1


def test_what_sees_nothing_detects_nothing() -> None:
    assert detectable_shift(lambda a, b: 0.0, 8, 5, draws=20) is None


def test_the_correlation_of_rows_is_the_mean_over_pairs(rng: np.random.Generator) -> None:
    values = rng.normal(size=(6, 5)) * [1, 2, 3, 4, 5] + rng.normal(size=(6, 1))
    pairs = np.corrcoef(values.T)[np.triu_indices(5, 1)]
    assert row_correlation(values) == pytest.approx(pairs.mean(), abs=1e-12)
    assert row_correlation(np.hstack([values, np.ones((6, 1))])) == pytest.approx(pairs.mean(), abs=1e-12)
    assert row_correlation(np.array([[0.0, 1.0], [1.0, 0.0]])) == 0  # not below
    assert row_correlation(np.ones((4, 3))) == 0
