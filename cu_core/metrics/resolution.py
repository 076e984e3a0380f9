"""Smallest shift between two ensembles that a comparison detects. N models a side, T rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array, Array], float]
"""One figure of two ensembles, (N, T) each."""
STEP, LARGEST = 0.25, 2.0
"""Shifts that are tried, in standard deviations."""
FALSE_ALARMS, POWER = 0.05, 0.8
DRAWS = 200


def row_correlation(margins_NT: Array) -> float:
    """Compute the mean correlation of two rows over models, at least 0; models that differ move all rows together.

    The mean over T standardised rows has the variance 1/T + (1 - 1/T) times this correlation.
    """
    spread = margins_NT.std(0, ddof=1)
    moving = margins_NT[:, spread > 0]
    rows = moving.shape[1]
    if rows < 2:
        return 0.0
    together = ((moving - moving.mean(0)) / spread[spread > 0]).mean(1).var(ddof=1)
    return float(np.clip((together - 1 / rows) / (1 - 1 / rows), 0, 1))


def detectable_shift(
    statistic: Statistic, models: int, rows: int, correlation: float = 0.0, draws: int = DRAWS, seed: int = 0
) -> float | None:
    """Find the smallest shift of all rows that a comparison of two ensembles detects.

    By simulation: margins are normal, any two rows have the given correlation, and the draws are the same for every
    shift. A shift is detected if the statistic of shifted models and references, minus that of unshifted models and the
    same references, exceeds its limit in 80% of audits, with 5% of false alarms.

    Args:
        statistic: One figure of two ensembles, (N, T) each.
        models: Number of models of an ensemble, N.
        rows: Number of rows, T.
        correlation: Correlation between rows, 0 to 1.
        draws: Number of simulated audits.
        seed: Seed of the draws.

    Returns:
        The shift in standard deviations of a row's margin over models, in steps of 0.25; ``None`` if 2 is not detected.
    """
    rng = np.random.default_rng([seed, models, rows])
    pools = [_pools(rng, models, rows, correlation) for _ in range(draws)]
    nulls = np.array([statistic(plain, reference) for _, plain, reference in pools])

    def excess(shift: float) -> Array:
        found = [statistic(changed + shift, reference) for changed, _, reference in pools]
        return np.asarray(np.array(found) - nulls, dtype=np.float64)

    limit = np.quantile(excess(0.0), 1 - FALSE_ALARMS)
    low, high = 0, round(LARGEST / STEP)
    if (excess(LARGEST) > limit).mean() < POWER:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        found = (excess(middle * STEP) > limit).mean() >= POWER
        low, high = (low, middle) if found else (middle, high)
    return high * STEP


def _pools(rng: np.random.Generator, models: int, rows: int, correlation: float) -> Array:
    """Draw models to be shifted, models as they are, and references, (3, N, T)."""
    common = rng.normal(size=(3, models, 1))
    own = rng.normal(size=(3, models, rows))
    return np.asarray(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own, dtype=np.float64)
