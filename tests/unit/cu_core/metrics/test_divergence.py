from __future__ import annotations

import math

import numpy as np
import pytest

from cu_core.metrics.divergence import entropy, jensen_shannon, total_variation

P = np.array([[1.0, 0.0], [0.5, 0.5], [0.9, 0.1]], dtype=np.float32)
Q = np.array([[0.0, 1.0], [0.5, 0.5], [0.4, 0.6]], dtype=np.float32)


def test_by_hand() -> None:
    assert jensen_shannon(P, Q)[:2] == pytest.approx([math.log(2), 0])
    middle = (0.65, 0.35)
    kl_p = 0.9 * math.log(0.9 / middle[0]) + 0.1 * math.log(0.1 / middle[1])
    kl_q = 0.4 * math.log(0.4 / middle[0]) + 0.6 * math.log(0.6 / middle[1])
    assert jensen_shannon(P, Q)[2] == pytest.approx((kl_p + kl_q) / 2, rel=1e-6)
    assert total_variation(P, Q) == pytest.approx([1, 0, 0.5])
    assert entropy(P) == pytest.approx([0, math.log(2), -0.9 * math.log(0.9) - 0.1 * math.log(0.1)], rel=1e-6)


def test_symmetric_and_independent_of_the_number_of_classes() -> None:
    assert jensen_shannon(P, Q) == pytest.approx(jensen_shannon(Q, P))
    wide = np.zeros((3, 50))
    assert jensen_shannon(np.hstack([P, wide]), np.hstack([Q, wide])) == pytest.approx(jensen_shannon(P, Q))


def test_each_row_for_itself_in_nats() -> None:
    """A row of certain opposite answers is log 2 away whatever the other rows are, half of it where half is shared."""
    p = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    q = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    assert jensen_shannon(p, q) == pytest.approx([math.log(2), math.log(2) / 2, 0], abs=1e-12)
    assert total_variation(p, q) == pytest.approx([1, 0.5, 0], abs=1e-12)
    assert entropy(p) == pytest.approx([0, math.log(2), 0], abs=1e-12)


def test_float32_answers_are_compared_in_float64() -> None:
    p = np.array([[0.5 + 1e-6, 0.5 - 1e-6]], np.float32)
    exact = p.astype(np.float64)
    assert jensen_shannon(p, p[:, ::-1]) == pytest.approx(jensen_shannon(exact, exact[:, ::-1]), abs=1e-18)
