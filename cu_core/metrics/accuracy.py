"""Accuracy with its interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cu_core.types import MetricResult

Z_95 = 1.959963984540054
"""Standard deviations of a normal distribution on either side of its mean that hold 95% of it."""


def wilson_interval(correct: float, count: int) -> tuple[float, float]:
    """95% Wilson score interval of the rate ``correct`` / ``count`` (Wilson 1927); (0, 1) for no rows. ``correct``
    may be a sum of rates."""
    if count == 0:
        return 0.0, 1.0
    rate, extra = correct / count, Z_95**2 / count
    middle = (rate + extra / 2) / (1 + extra)
    half = (extra * rate * (1 - rate) + extra**2 / 4) ** 0.5 / (1 + extra)
    return max(0.0, middle - half), min(1.0, middle + half)


def accuracy(correct: NDArray[np.bool_]) -> MetricResult:
    """Share of correct rows in percent.

    Raises: ValueError for no rows.
    """
    if len(correct) == 0:
        raise ValueError("accuracy of no rows is not defined.")
    low, high = wilson_interval(int(correct.sum()), len(correct))
    return MetricResult(100 * float(correct.mean()), len(correct), 100 * low, 100 * high)


def per_class_accuracy(correct: NDArray[np.bool_], labels: NDArray[np.int64]) -> dict[int, MetricResult]:
    """Accuracy of every class that occurs."""
    return {int(c): accuracy(correct[labels == c]) for c in np.unique(labels)}
