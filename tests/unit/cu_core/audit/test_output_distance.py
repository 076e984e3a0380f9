from __future__ import annotations

import math

import numpy as np
import pytest

from cu_core.audit.answers import Answers
from cu_core.audit.output_distance import output_distance

EXACT = 1e-9
LN2 = math.log(2)


def made(forget: list[list[float]], test: list[list[float]]) -> Answers:
    rows = np.array(forget, np.float32)
    return Answers(rows, np.arange(len(rows)) % 2, rows[:0], np.array(test, np.float32))


def test_the_mean_is_over_rows_and_references() -> None:
    """Forget rows: with the first reference distances 0 and log 2, with the second log 2 and log 2. Test rows: one of
    two differs, from both. Total variation is 1 where the answers exclude one another."""
    own = made([[1, 0], [1, 0]], [[1, 0], [0, 1]])
    found = output_distance(own, [made([[1, 0], [0, 1]], [[1, 0], [1, 0]]), made([[0, 1], [0, 1]], [[1, 0], [1, 0]])])
    for name, by_row in (("forget", [0.5, 1.0]), ("test", [0.0, 1.0])):
        for kind, scale in (("js", LN2), ("tv", 1.0)):
            values = scale * np.array(by_row)
            half = 1.96 * values.std(ddof=1) / math.sqrt(2)
            metric = found[f"{name}_{kind}"]
            assert (metric.value, metric.count) == (pytest.approx(values.mean(), abs=EXACT), 2)
            assert metric.low == pytest.approx(max(0.0, values.mean() - half), abs=EXACT)
            assert metric.high == pytest.approx(values.mean() + half, abs=EXACT)


def test_what_needs_no_reference_is_of_forget_rows() -> None:
    """Labels 0 and 1: own probabilities .75 and .5; entropies in nats."""
    found = output_distance(made([[0.75, 0.25], [0.5, 0.5]], [[1, 0], [0, 1]]), [])
    assert found["forget_confidence"].value == pytest.approx((0.75 + 0.5) / 2, abs=EXACT)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found["forget_entropy"].value == pytest.approx((entropy + LN2) / 2, abs=EXACT)


def test_one_row_has_no_width() -> None:
    metric = output_distance(made([[0.75, 0.25]], [[1, 0]]), [])["forget_confidence"]
    assert (metric.low, metric.high) == (metric.value, metric.value)
