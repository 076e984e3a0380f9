from __future__ import annotations

import numpy as np
import pytest

from cu_core.metrics.accuracy import accuracy, mean_rate, per_class_accuracy, wilson_interval
from cu_core.types import MetricResult


def test_wilson_interval_is_its_formula() -> None:
    """(p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) for 8 of 10."""
    z, p, n = 1.959963984540054, 0.8, 10
    centre, width = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    want = [(centre - width) / (1 + z * z / n), (centre + width) / (1 + z * z / n)]
    assert wilson_interval(8, 10) == pytest.approx(tuple(want))
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_accuracy_in_percent_by_class() -> None:
    correct, labels = np.array([True, False, True, True]), np.array([0, 0, 1, 1])
    assert accuracy(correct).value == 75
    assert {c: m.value for c, m in per_class_accuracy(correct, labels).items()} == {0: 50, 1: 100}
    with pytest.raises(ValueError, match="no rows"):
        accuracy(np.array([], dtype=bool))


def test_the_interval_is_of_the_rows_themselves() -> None:
    """3 of 4 and 300 of 400 have one value and two widths; so has each class by its own rows."""
    for times in (1, 100):
        metric = accuracy(np.array([True, True, True, False] * times))
        low, high = wilson_interval(3 * times, 4 * times)
        assert (metric.value, metric.count) == (75, 4 * times)
        assert (metric.low, metric.high) == pytest.approx((100 * low, 100 * high), abs=1e-9)
    found = per_class_accuracy(np.array([True, False, True]), np.array([7, 7, 2]))
    assert {c: (m.value, m.count) for c, m in found.items()} == {2: (100, 1), 7: (50, 2)}
    assert found[7].low == pytest.approx(100 * wilson_interval(1, 2)[0], abs=1e-9)


def test_mean_rate_is_a_share_of_rows() -> None:
    low, high = wilson_interval(2, 4)
    assert mean_rate(np.array([1.0, 0.5, 0.25, 0.0])) == MetricResult(43.75, 4, 100 * low, 100 * high)  # 1.75 rows
    with pytest.raises(ValueError, match="no rows"):
        mean_rate(np.array([]))
