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


def test_weighted_pairs_and_ties() -> None:
    """Others 1, 2, 3 of weights 1, 2, 5: a member at 2 exceeds a weight of 1 and ties with 2; one at 4 exceeds all."""
    members, others, weights = np.array([2.0, 4.0]), np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0])
    assert attack_auc(members, others, weights) == pytest.approx((1 + 2 / 2 + 8) / 16, abs=1e-12)
    assert attack_auc(-members, -others, weights) == pytest.approx(1 - 10 / 16, abs=1e-12)
    with pytest.raises(ValueError, match="needs forget rows"):
        attack_auc(members[:0], others, weights)


def test_false_positives_are_weighted() -> None:
    """The highest of the others weighs 1 of 20: at 5% it may be let in, and a member between it and the rest is caught;
    where it weighs 10 of 29 it may not."""
    others = np.arange(20.0)
    members = np.array([30.0, 18.5, 5.0])
    weights = np.ones(20)
    assert tpr_at_fpr(members, others, weights, 0.05) == pytest.approx(2 / 3, abs=1e-12)
    assert tpr_at_fpr(members, others, weights, 0.049) == pytest.approx(1 / 3, abs=1e-12)
    weights[19] = 10
    assert tpr_at_fpr(members, others, weights, 0.05) == pytest.approx(1 / 3, abs=1e-12)
    assert tpr_at_fpr(members[1:], others, weights, 0.05) == 0


def test_features_are_row_by_row() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    labels = np.array([0, 1])
    both = attack_features(np.log(p) + [[5.0], [-3.0]], labels)
    for row in range(2):
        alone = attack_features(np.log(p[row : row + 1]), labels[row : row + 1])
        assert {n: v[row] for n, v in both.items()} == pytest.approx({n: v[0] for n, v in alone.items()}, abs=1e-12)
    assert both["correct"].tolist() == [1, 0]
    assert both["confidence"] == pytest.approx([0.7, 0.3], abs=1e-12)


def test_weights_beyond_the_classes_of_one_side() -> None:
    assert class_match_weights(np.array([0, 0, 0]), np.array([4, 0])).tolist() == pytest.approx([1 / 3] * 3)
    assert class_match_weights(np.array([4, 4]), np.array([0])).tolist() == [0, 0]


def test_the_interval_names_members_first() -> None:
    """Few members and many others are not many members and few others, away from 1/2."""
    few, many = auc_interval(0.8, 5, 500), auc_interval(0.8, 500, 5)
    q1, q2 = 0.8 / 1.2, 2 * 0.64 / 1.8
    for (low, _), n, m in ((few, 5, 500), (many, 500, 5)):
        variance = (0.16 + (n - 1) * (q1 - 0.64) + (m - 1) * (q2 - 0.64)) / (n * m)
        assert low == pytest.approx(0.8 - 1.96 * math.sqrt(variance), abs=1e-12)
    assert few[0] != pytest.approx(many[0], abs=1e-3)
