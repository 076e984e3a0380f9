from __future__ import annotations

import math

import numpy as np
import pytest

from cu_core.metrics.membership import attack_auc, attack_features, auc_interval, class_match_weights, tpr_at_fpr


def test_features_are_the_formulas_written_out() -> None:
    """Song and Mittal, eq. 6: the own class enters with log p, the others with log(1 - p)."""
    p = np.array([0.7, 0.2, 0.1])
    found = attack_features(np.log(p)[None], np.array([1]))
    assert found["loss"][0] == pytest.approx(-math.log(0.2))
    assert found["confidence"][0] == pytest.approx(0.2)
    assert found["entropy"][0] == pytest.approx(-sum(x * math.log(x) for x in p))
    expected = -(1 - 0.2) * math.log(0.2) - 0.7 * math.log(1 - 0.7) - 0.1 * math.log(1 - 0.1)
    assert found["modified_entropy"][0] == pytest.approx(expected)
    assert found["correct"][0] == 0


def test_certain_answers_stay_finite() -> None:
    found = attack_features(np.array([[1000.0, 0.0], [0.0, 1000.0]]), np.array([0, 0]))
    assert all(np.isfinite(v).all() for v in found.values())


def test_auc_and_tpr_count_pairs() -> None:
    members, others = np.array([3.0, 1.0]), np.array([2.0, 0.0])
    assert attack_auc(members, others, np.ones(2)) == pytest.approx(3 / 4)  # 3 of 4 pairs in the right order
    assert tpr_at_fpr(members, others, np.ones(2), 0.05) == 0.5
    assert tpr_at_fpr(members, others, np.ones(2), 0.5) == 1.0


def test_the_interval_is_hanley_and_mcneil_s() -> None:
    """AUC 0.8, 10 members, 20 others: Q1 = 2/3, Q2 = 1.28/1.8."""
    variance = (0.16 + 9 * (2 / 3 - 0.64) + 19 * (1.28 / 1.8 - 0.64)) / 200
    low, high = auc_interval(0.8, 10, 20)
    assert (low, high) == pytest.approx((0.8 - 1.96 * math.sqrt(variance), 0.8 + 1.96 * math.sqrt(variance)))
    assert auc_interval(1.0, 5, 5) == (1.0, 1.0)


def test_weights_give_the_class_shares_of_the_target() -> None:
    weights = class_match_weights(np.array([0, 0, 1, 2]), np.array([0, 1, 1]))
    np.testing.assert_allclose(weights, [0.5, 0.5, 2.0, 0.0])
    with pytest.raises(ValueError, match="held-out rows of the same classes"):
        attack_auc(np.ones(3), np.ones(2), np.zeros(2))
