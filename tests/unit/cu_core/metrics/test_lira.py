from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm

from cu_core.metrics.lira import auc_over_models, logit_margin, pooled_auc, u_lira, u_lira_offline, u_rmia

MODELS, ROWS = 16, 120


def halves(rng: np.random.Generator) -> np.ndarray:
    return rng.random((MODELS, ROWS)) < 0.5


def margins(rng: np.random.Generator, unlearned: np.ndarray, trace: float) -> np.ndarray:
    """Rows differ in difficulty; an unlearned row keeps ``trace`` of what was memorised."""
    return rng.normal(-2, 1, ROWS) + rng.normal(size=unlearned.shape) + trace * unlearned


def unseen(rng: np.random.Generator) -> np.ndarray:
    """Population rows: as difficult as the targets, trained on by no model."""
    return rng.normal(-2, 1, 300) + rng.normal(size=(MODELS, 300))


def test_margin_is_the_logit_of_the_probability_and_survives_certainty() -> None:
    logits = np.array([[2.0, 1.0, -1.0], [0.0, 3.0, 0.5]])
    labels = np.array([0, 2])
    p = softmax(logits, axis=1)[[0, 1], labels]
    assert logit_margin(logits, labels) == pytest.approx(np.log(p / (1 - p)))
    assert logit_margin(np.array([[200.0, 0.0]], dtype=np.float32), np.array([0])) == pytest.approx([200])


def test_u_lira_by_hand() -> None:
    """Row 0: the others' unlearned margins 1, 3, out margins -1, -3; the shared variances are 2 and 2."""
    values = np.array([[2.0], [1.0], [3.0], [-1.0], [-3.0]])
    unlearned = np.array([[True], [True], [True], [False], [False]])
    expected = norm.logpdf(2, 2, 2**0.5) - norm.logpdf(2, -2, 2**0.5)
    assert u_lira(values, unlearned)[0, 0] == pytest.approx(expected)
    assert np.isnan(u_lira(values, unlearned)[3, 0])  # one other model without the row is not enough


def test_one_sided_u_lira_by_hand() -> None:
    """Row 0: the others' out margins -1, -3: mean -2, variance 2."""
    values = np.array([[2.0], [1.0], [3.0], [-1.0], [-3.0]])
    unlearned = np.array([[True], [True], [True], [False], [False]])
    scores = u_lira_offline(values, unlearned)
    assert scores[0, 0] == pytest.approx((2 + 2) / 2**0.5)
    assert np.isnan(scores[3, 0])


def test_rows_less_known_than_unseen_ones_are_told_apart_by_the_two_sided_attack_alone(
    rng: np.random.Generator,
) -> None:
    unlearned = halves(rng)
    values, population = margins(rng, unlearned, -2.0), unseen(rng)
    assert pooled_auc(u_lira(values, unlearned), unlearned) > 0.7
    assert pooled_auc(u_lira_offline(values, unlearned), unlearned) < 0.3
    assert pooled_auc(u_rmia(values, unlearned, population), unlearned) < 0.3


def test_no_model_is_judged_with_itself(rng: np.random.Generator) -> None:
    """Fitting and testing on the same models finds a difference where there is none."""
    unlearned = halves(rng)
    values = margins(rng, unlearned, 0.0)
    auc, low, high = auc_over_models(u_lira(values, unlearned), unlearned)
    assert low < 0.5 < high
    means = [np.where(side, values, np.nan) for side in (unlearned, ~unlearned)]
    in_sample = np.abs(values - np.nanmean(means[1], 0)) - np.abs(values - np.nanmean(means[0], 0))
    assert pooled_auc(in_sample, unlearned) > 0.6 > auc


def test_a_planted_memoriser_is_caught_and_an_honest_oracle_is_not(rng: np.random.Generator) -> None:
    unlearned = halves(rng)
    population = unseen(rng)
    for trace, caught in ((4.0, True), (0.0, False)):
        values = margins(rng, unlearned, trace)
        for attack in (u_lira, u_lira_offline, partial(u_rmia, population_MZ=population)):
            scores = attack(values, unlearned)
            auc, low, high = auc_over_models(scores, unlearned)
            assert (auc > 0.95) == caught
            assert (low < 0.5 < high) == (not caught)


def test_both_attacks_rank_methods_alike(rng: np.random.Generator) -> None:
    unlearned = halves(rng)
    population = unseen(rng)
    aucs = []
    for trace in (-1.0, 0.0, 0.7, 1.5, 3.0):
        values = margins(rng, unlearned, trace)
        scores = u_lira(values, unlearned), u_lira_offline(values, unlearned), u_rmia(values, unlearned, population)
        aucs.append([pooled_auc(score, unlearned) for score in scores])
    assert (np.diff(aucs[1:], axis=0) > 0).all()
    assert (np.diff(np.array(aucs)[:, 1:], axis=0) > 0).all()  # the one-sided ones also below chance


def test_rmia_by_hand() -> None:
    """Model 0: p = 0.8 against 0.4 without the row (ratio 2); population ratios 1, 2 and 4."""

    def logit(p: float) -> float:
        return float(np.log(p / (1 - p)))

    values = np.array([[logit(0.8)], [logit(0.4)]])
    unlearned = np.array([[True], [False]])
    population = np.array([[logit(0.2), logit(0.4), logit(0.8)], [logit(0.2)] * 3])
    assert u_rmia(values, unlearned, population)[0, 0] == pytest.approx(2 / 3)


def test_one_sided_data_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="more models"):
        pooled_auc(rng.normal(size=(3, 4)), np.ones((3, 4), bool))
