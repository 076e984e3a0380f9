"""Accuracy with its interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cu_core.types import MetricResult

Z_95 = 1.959963984540054
"""Standard deviations of a normal distribution on either side of its mean that hold 95% of it."""


def wilson_interval(correct: float, count: int) -> tuple[float, float]:
    """Compute the 95% Wilson score interval of a rate (Wilson 1927).

    Args:
        correct: Number of correct rows; it may be a sum of rates.
        count: Number of rows.

    Returns:
        (low, high), 0 to 1; (0, 1) for no rows.
    """
    if count == 0:
        return 0.0, 1.0
    rate, extra = correct / count, Z_95**2 / count
    middle = (rate + extra / 2) / (1 + extra)
    half = (extra * rate * (1 - rate) + extra**2 / 4) ** 0.5 / (1 + extra)
    return max(0.0, middle - half), min(1.0, middle + half)


def accuracy(correct: NDArray[np.bool_]) -> MetricResult:
    """Compute the share of correct rows in percent.

    Raises:
        ValueError: There are no rows.
    """
    if len(correct) == 0:
        raise ValueError("accuracy of no rows is not defined.")
    low, high = wilson_interval(int(correct.sum()), len(correct))
    return MetricResult(100 * float(correct.mean()), len(correct), 100 * low, 100 * high)


def mean_rate(rates: NDArray[np.floating]) -> MetricResult:
    """Compute the mean of rates (0 to 1, one for each row) in percent, with the interval of a share of rows.

    Raises:
        ValueError: There are no rows.
    """
    if len(rates) == 0:
        raise ValueError("a rate of no rows is not defined.")
    share, count = float(rates.mean()), len(rates)
    low, high = wilson_interval(round(share * count), count)
    return MetricResult(100 * share, count, 100 * low, 100 * high)


def per_class_accuracy(correct: NDArray[np.bool_], labels: NDArray[np.int64]) -> dict[int, MetricResult]:
    """Compute the accuracy of every class that occurs."""
    return {int(c): accuracy(correct[labels == c]) for c in np.unique(labels)}
