from __future__ import annotations

import numpy as np
import pytest

from cu_core.metrics.accuracy import accuracy, per_class_accuracy, wilson_interval


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
