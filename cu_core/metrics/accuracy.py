"""Accuracy with its interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cu_core.types import MetricResult


def wilson_interval(correct: int, count: int) -> tuple[float, float]:
    """95% Wilson score interval of a rate (Wilson 1927); (0, 1) for no rows."""
    if count == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # takes a second, which processes that train need not wait

    interval = binomtest(correct, count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


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
