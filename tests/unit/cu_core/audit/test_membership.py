"""Attacks on planted outputs, whose figures are counts of pairs."""

from __future__ import annotations

import numpy as np
import pytest

from cu_core.audit.membership import membership
from cu_core.audit.subject import AuditConfig
from cu_core.metrics.accuracy import wilson_interval
from cu_core.metrics.membership import auc_interval
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import Predictions
from tests.unit.cu_core.planted import answers, predictions, subject

EXACT = 1e-9


def found(forget: Predictions, holdout: Predictions, retain: Predictions, **config: float) -> dict[str, MetricResult]:
    made = subject("sample", AuditConfig(**config), forget_train=forget, holdout=holdout, retain_train=retain)  # type: ignore[arg-type]
    return dict(membership(made).metrics)


RETAIN = answers([0.9, 0.95, 0.92, 0.97], [0, 0, 1, 1])


def test_threshold_attacks_count_pairs_each_by_its_own_feature() -> None:
    """Own class 0. Own probability: M1 .5 > H1 .45 > M2 .4 > H2 .3, so loss 3 of 4 pairs. Entropy: H2 .61 < M2 .67
    < H1 .69 < M1 1.04, so 1 of 4. Right answers: M1 alone, two ties: 3 of 4. Modified entropy: M1 .49, H1 .88, M2 1.10,
    H2 1.69."""
    members = predictions(np.log([[0.5, 0.25, 0.25], [0.4, 0.6 - 1e-9, 1e-9]]), [0, 0])
    others = predictions(np.log([[0.45, 0.55 - 1e-9, 1e-9], [0.3, 0.7 - 1e-9, 1e-9]]), [0, 0])
    metrics = found(members, others, answers([0.9, 0.9], [0, 0], 3))
    for name, auc in (("mia_auc", 0.75), ("mia_entropy_auc", 0.25), ("mia_correct_auc", 0.75)):
        assert metrics[name].value == pytest.approx(auc, abs=EXACT)
        assert (metrics[name].low, metrics[name].high) == pytest.approx(auc_interval(auc, 2, 2), abs=EXACT)
        assert metrics[name].count == 4
    assert metrics["mia_modified_entropy_auc"].value == pytest.approx(0.75, abs=EXACT)


def test_holdout_rows_have_the_class_shares_of_the_forget_set() -> None:
    """Weights 1/2 and 1/2 (class 0), 2 (class 1), 0 (class 2, 4 rows that nothing exceeds). A member .6 of class 0 and
    two of class 1, .8 and .4; others .5 and .7 of class 0, .55 of class 1: in the right order are, of a weight of 3
    each, .5 + 2; 3; 0."""
    members = answers([0.6, 0.8, 0.4], [0, 1, 1], 3)
    others = answers([0.5, 0.7, 0.55, 0.9, 0.9, 0.9, 0.9], [0, 0, 1, 2, 2, 2, 2], 3)
    metrics = found(members, others, answers([0.9, 0.9], [0, 0], 3))
    assert metrics["mia_auc"].value == pytest.approx((2.5 + 3 + 0) / 9, abs=EXACT)
    assert metrics["mia_auc"].count == 3 + 3
    want = auc_interval(metrics["mia_auc"].value, 3, 3)  # the four rows of class 2 make it no narrower
    assert (metrics["mia_auc"].low, metrics["mia_auc"].high) == pytest.approx(want, abs=EXACT)


@pytest.mark.parametrize(("fpr", "caught"), [(0.02, 2), (0.05, 3), (0.1, 4)])
def test_true_positives_at_the_asked_rate_of_false_ones(fpr: float, caught: int) -> None:
    """Of 21 others 0, 1 and 2 may be taken for members. Members lie above 21, above 20, above 19 of them, and below."""
    others = answers(np.linspace(0.3, 0.9, 21).tolist(), [0] * 21)
    step = 0.03
    members = answers([0.9 + step, 0.9 + step / 2, 0.9 - step / 2, 0.9 - 1.5 * step, 0.1], [0] * 5)
    metric = found(members, others, RETAIN, low_fpr=fpr)["mia_tpr_low_fpr"]
    low, high = wilson_interval(caught, 5)
    assert (metric.value, metric.count) == (pytest.approx(20 * caught, abs=EXACT), 5)
    assert (metric.low, metric.high) == pytest.approx((100 * low, 100 * high), abs=EXACT)


def test_the_logistic_attack_is_scored_on_the_half_that_it_was_not_fitted_on() -> None:
    """Even holdout rows (fitted) are less sure than all forget rows but one, odd ones (scored) surer than all: AUC 0.
    On the half it was fitted on it would be 3/4, on both together 3/8."""
    forget = answers([0.94, 0.93, 0.95, 0.2], [0, 0, 0, 0])
    holdout = answers([0.3, 0.99] * 6, [0] * 12)
    metrics = found(forget, holdout, RETAIN)
    assert metrics["mia_logistic_auc"].value == pytest.approx(0, abs=EXACT)
    assert metrics["mia_logistic_auc"].count == 4 + 6
    assert metrics["mia_auc"].value == pytest.approx(3 / 8, abs=EXACT)
    assert metrics["member_prediction_rate"].value == pytest.approx(75, abs=EXACT)


def test_the_logistic_attack_learns_members_from_retain_rows() -> None:
    """Retain rows answer less surely than unseen ones here, so sure rows are taken for non-members. Forget rows are
    sure (two) and unsure (one)."""
    retain = answers([0.55, 0.6, 0.58, 0.56] * 3, [0] * 12)
    holdout = answers([0.95, 0.93, 0.94, 0.96] * 3, [0] * 12)
    metrics = found(answers([0.97, 0.98, 0.52], [0] * 3), holdout, retain)
    assert metrics["member_prediction_rate"].value == pytest.approx(100 / 3, abs=EXACT)
    assert metrics["mia_logistic_auc"].value == pytest.approx(1 / 3, abs=EXACT)


def test_the_logistic_attack_s_scored_half_has_the_class_shares_of_the_forget_set() -> None:
    """Odd rows of class 1, of which the forget set has none, are surer than all and count for nothing."""
    forget = answers([0.9, 0.8], [0, 0])
    holdout = answers([0.3, 0.5, 0.3, 0.85, 0.3, 0.99, 0.3, 0.99], [0, 0, 0, 0, 0, 1, 0, 1])
    metrics = found(forget, holdout, RETAIN)
    assert metrics["mia_logistic_auc"].value == pytest.approx(3 / 4, abs=EXACT)
    assert metrics["mia_logistic_auc"].count == 2 + 2


def test_no_attack_without_held_out_rows_of_the_classes() -> None:
    """Classes of a few rows have none in a small split."""
    members = answers([0.6, 0.8], [0, 0], 3)
    assert found(members, answers([0.5, 0.7], [1, 2], 3), RETAIN) == {}
    half = found(members, answers([0.5, 0.7], [0, 2], 3), answers([0.9, 0.9], [0, 0], 3))
    assert "mia_logistic_auc" not in half, "the half that is scored has none"
    assert half["mia_auc"].value == 1.0
