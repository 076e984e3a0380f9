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


def test_rows_have_their_own_means_and_share_one_variance_under_64_models() -> None:
    """Two rows. Model 0 is judged by four others, two a side. Without the row: row 0 at -1, -3 (sum of squares 2), row
    1 at 10, 14 (8), one degree of freedom each: variance 5. With it: 1, 3 (2) and 5, 5 (0): variance 1."""
    values = np.array([[2.0, 6.0], [1.0, 5.0], [3.0, 5.0], [-1.0, 10.0], [-3.0, 14.0]])
    unlearned = np.array([[True] * 2, [True] * 2, [True] * 2, [False] * 2, [False] * 2])
    offline = [(2 + 2) / 5**0.5, (6 - 12) / 5**0.5]
    assert u_lira_offline(values, unlearned)[0] == pytest.approx(offline, abs=1e-12)
    want = [norm.logpdf(2, 2, 1) - norm.logpdf(2, -2, 5**0.5), norm.logpdf(6, 5, 1) - norm.logpdf(6, 12, 5**0.5)]
    assert u_lira(values, unlearned)[0] == pytest.approx(want, abs=1e-12)


def test_with_64_models_every_row_has_its_own_variance() -> None:
    """Row 0 spreads by 1, row 1 by 10, around 0, in the models without the rows."""
    side = np.arange(64) % 2 == 0
    wave = np.where(np.arange(64) // 2 % 2 == 0, 1.0, -1.0)
    values = np.where(side[:, None], 0.0, wave[:, None] * np.array([1.0, 10.0]))
    values[0] = [5.0, 5.0]
    spread = (32 / 31) ** 0.5
    found = u_lira_offline(values, np.stack([side, side], 1))[0]
    assert found == pytest.approx([5 / spread, 0.5 / spread], abs=1e-12)


def test_rmia_s_population_is_weighed_by_the_other_models_and_gamma_is_how_much_more() -> None:
    """Model 0's own probability is in neither mean. Ratios of z: .2 / .1 = 2, .4 / .4 = 1; of the target: .6 / .3."""

    def logit(p: float) -> float:
        return float(np.log(p / (1 - p)))

    values = np.array([[logit(0.6)], [logit(0.3)], [logit(0.9)]])
    unlearned = np.array([[True], [False], [True]])
    population = np.array([[logit(0.2), logit(0.4)], [logit(0.15), logit(0.3)], [logit(0.05), logit(0.5)]])
    found = [u_rmia(values, unlearned, population, gamma)[0, 0] for gamma in (0.5, 1.5, 3.0)]
    assert found == [1, 0.5, 0]  # 2 against gamma times 2 and 1
    assert np.isnan(u_rmia(values[:2], unlearned[:2], population[:2])[1, 0])


def test_the_pooled_auc_counts_pairs_over_models_and_rows_that_have_a_score() -> None:
    scores = np.array([[3.0, np.nan], [2.0, 1.0], [0.0, 9.0]])
    unlearned = np.array([[True, True], [False, True], [False, False]])
    assert pooled_auc(scores, unlearned) == pytest.approx((2 + 1) / 6, abs=1e-12)  # 3 beats 2, 0; 1 beats 0; 9 is best


def test_the_interval_is_a_bootstrap_over_models(rng: np.random.Generator) -> None:
    """Rows of a model move together: 60 rows of 8 models leave an interval as wide as 8 models do, not 480 rows."""
    side = np.arange(8) % 2 == 0
    unlearned = np.repeat(side[:, None], 60, axis=1)
    scores = np.repeat(rng.normal(size=(8, 1)), 60, axis=1)
    auc, low, high = auc_over_models(scores, unlearned)
    assert low <= auc <= high
    assert high - low > 0.3
    assert auc_over_models(scores, unlearned) == (auc, low, high)
    assert auc_over_models(scores, unlearned, seed=1)[1:] != (low, high)
