"""Membership attacks with many models: was this row trained on and unlearned, or never seen?

M models, T target rows, Z population rows. Every model is judged by statistics of the other models only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
SHARED_UNDER = 64
"""Fewer models than this share one variance over the rows (Carlini et al. 2022, sec. VI-D)."""
TINY = 1e-30


def logit_margin(logits_NC: NDArray[np.floating], labels_N: NDArray[np.int64]) -> Array:
    """Compute log(p_y / (1 - p_y)) of each row in float64, (N,).

    It is z_y minus the log-sum-exp of the other logits, which is exact where p_y rounds to 1.
    """
    logits = logits_NC.astype(np.float64)
    rows = np.arange(len(labels_N))
    own = logits[rows, labels_N]
    others = logits.copy()
    others[rows, labels_N] = -np.inf
    return np.asarray(own - logsumexp(others, axis=1), dtype=np.float64)


def u_lira(margins_MT: Array, unlearned_MT: Mask) -> Array:
    """Compute the log likelihood ratio of "unlearned" against "never seen" for every model and row.

    Source: Hayes et al. 2024, arXiv 2403.01218, algorithm 1; Carlini et al. 2022, arXiv 2112.03570, eq. 4.

    Args:
        margins_MT: Margins of M models on T rows.
        unlearned_MT: Which rows each model has unlearned; it never saw the others.

    Returns:
        (M, T); NaN where either side has fewer than two other models.
    """
    from scipy.stats import norm

    models = len(margins_MT)
    ratios = np.full(margins_MT.shape, np.nan)
    for m in range(models):
        rest = np.arange(models) != m
        logs = []
        for side in (unlearned_MT, ~unlearned_MT):
            mean, spread, enough = _gaussian(margins_MT[rest], side[rest], models < SHARED_UNDER)
            logs.append(np.where(enough, norm.logpdf(margins_MT[m], mean, spread), np.nan))
        ratios[m] = logs[0] - logs[1]
    return ratios


def u_lira_offline(margins_MT: Array, unlearned_MT: Mask) -> Array:
    """Compute how far a row's margin lies above those of models that never saw it, in standard deviations.

    It is one-sided and uses no models that have unlearned the row. Source: Carlini et al. 2022, arXiv 2112.03570, eq.
    5.

    Args:
        margins_MT: Margins of M models on T rows.
        unlearned_MT: Which rows each model has unlearned; it never saw the others.

    Returns:
        (M, T); NaN where fewer than two other models are without the row.
    """
    models = len(margins_MT)
    scores = np.full(margins_MT.shape, np.nan)
    for m in range(models):
        rest = np.arange(models) != m
        mean, spread, enough = _gaussian(margins_MT[rest], ~unlearned_MT[rest], models < SHARED_UNDER)
        scores[m] = np.where(enough, (margins_MT[m] - mean) / spread, np.nan)
    return scores


def _gaussian(margins: Array, side: Mask, shared: bool) -> tuple[Array, Array, Mask]:
    """Return mean and standard deviation of each row over the models on this side, and where these are two or more."""
    count = side.sum(0)
    enough = count >= 2
    mean = np.where(side, margins, 0).sum(0) / np.maximum(count, 1)
    squares = np.where(side, (margins - mean) ** 2, 0).sum(0)
    if shared:
        freedom = np.maximum(count[enough] - 1, 0).sum()
        variance = np.full(len(count), squares[enough].sum() / max(freedom, 1))
    else:
        variance = squares / np.maximum(count - 1, 1)
    return mean, np.sqrt(np.maximum(variance, TINY)), enough


def u_rmia(margins_MT: Array, unlearned_MT: Mask, population_MZ: Array, gamma: float = 1.0) -> Array:
    """Compute the share of population rows that a target row's likelihood ratio exceeds.

    A population row z counts if the target row's likelihood ratio to models that never saw it is at least gamma times
    z's own. Source: Zarifzadeh et al. 2024, arXiv 2312.03262, eq. 2, offline.

    Args:
        margins_MT: Margins of M models on T target rows.
        unlearned_MT: Which rows each model has unlearned; it never saw the others.
        population_MZ: Margins of M models on Z population rows.
        gamma: Factor of z's ratio.

    Returns:
        (M, T), 0 to 1; NaN where no other model is without the row.
    """
    models = len(margins_MT)
    own, population = expit(margins_MT), np.maximum(expit(population_MZ), TINY)
    scores = np.full(margins_MT.shape, np.nan)
    for m in range(models):
        rest = np.arange(models) != m
        out = ~unlearned_MT[rest]
        reference = np.where(out, own[rest], 0).sum(0) / np.maximum(out.sum(0), 1)
        ratio = own[m] / np.maximum(reference, TINY)
        against = np.sort(population[m] / population[rest].mean(0))
        found = np.searchsorted(against * gamma, ratio, side="right") / len(against)
        scores[m] = np.where(out.any(0), found, np.nan)
    return scores


def pooled_auc(scores_MT: Array, unlearned_MT: Mask) -> float:
    """Compute the AUC of separating unlearned from never seen rows, over all models and rows that have a score.

    Args:
        scores_MT: Scores; those that are not finite are left out.
        unlearned_MT: Which rows each model has unlearned.

    Returns:
        AUC, 0 to 1.

    Raises:
        ValueError: A side is empty.
    """
    from sklearn.metrics import roc_auc_score

    there = np.isfinite(scores_MT)
    truth = unlearned_MT[there]
    if truth.all() or not truth.any():
        raise ValueError("every model or no model has forgotten the rows; more models are needed.")
    return float(roc_auc_score(truth, scores_MT[there]))


def auc_over_models(
    scores_MT: Array, unlearned_MT: Mask, draws: int = 500, seed: int = 0
) -> tuple[float, float, float]:
    """Compute the AUC and its 95% percentile bootstrap interval over models.

    Models are drawn, not rows, since the rows of a model are not independent.

    Args:
        scores_MT: Scores; those that are not finite are left out.
        unlearned_MT: Which rows each model has unlearned.
        draws: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        (AUC, low, high).

    Raises:
        ValueError: A side is empty.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        chosen = rng.integers(len(scores_MT), size=len(scores_MT))
        truth = unlearned_MT[chosen][np.isfinite(scores_MT[chosen])]
        if truth.any() and not truth.all():
            found.append(pooled_auc(scores_MT[chosen], unlearned_MT[chosen]))
    low, high = np.quantile(found, [0.025, 0.975])
    return pooled_auc(scores_MT, unlearned_MT), float(low), float(high)
