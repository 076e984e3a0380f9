"""Two ensembles of models compared row by row: unlearned ones and retrained ones. N models a side, T rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
BINS = 20
DELTA = 0.01
BIN_WIDTH = 0.5
PRIOR_MODELS = 4
"""Weight of the variance over all rows beside a row's own, as so many models."""
TINY = 1e-12


def klom(a_NT: Array, b_NT: Array) -> Array:
    """Compute KLoM: the KL divergence of the margins of ``a`` from those of ``b`` for each row.

    Source: Georgiev et al. 2024, arXiv 2410.23232, sec. 3. Histograms of 20 bins over the range of both, with one
    pseudo-count spread over the bins. With few models it is far above 0 for equal ensembles: subtract the value for two
    disjoint halves of one ensemble.

    Args:
        a_NT: Margins of N models on T rows.
        b_NT: Margins of the other ensemble.

    Returns:
        (T,), in nats.
    """
    low, high = np.minimum(a_NT.min(0), b_NT.min(0)), np.maximum(a_NT.max(0), b_NT.max(0))
    width = np.where(high > low, high - low, 1.0)
    p, q = (_shares((x - low) / width) for x in (a_NT, b_NT))
    return np.asarray((p * np.log(p / q)).sum(1), dtype=np.float64)


def _shares(places_NT: Array) -> Array:
    """Compute the shares of bins of values in 0..1, with one pseudo-count spread over the bins, (T, bins)."""
    models, rows = places_NT.shape
    bins = np.minimum((places_NT * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount((np.arange(rows) * BINS + bins).ravel(), minlength=rows * BINS).reshape(rows, BINS)
    return np.asarray((counts + 1 / BINS) / (models + 1), dtype=np.float64)


def gaussian_divergence(a_NT: Array, b_NT: Array) -> Array:
    """Compute the KL divergence between normal distributions fitted to the margins of ``a`` and of ``b`` for each row.

    It is not KLoM, whose histograms say little with few models. The variance of a row is moderated: it is the mean of
    its own, with weight N - 1, and of the mean over rows, with weight 4 (Smyth 2004, eq. 7, with a known prior).

    Args:
        a_NT: Margins of N models on T rows.
        b_NT: Margins of the other ensemble.

    Returns:
        (T,), in nats.
    """
    (mean_a, var_a), (mean_b, var_b) = _moderated(a_NT), _moderated(b_NT)
    ratio = var_a / var_b
    return np.asarray((ratio - 1 - np.log(ratio) + (mean_a - mean_b) ** 2 / var_b) / 2, dtype=np.float64)


def _moderated(margins_NT: Array) -> tuple[Array, Array]:
    """Return the mean and the moderated variance of each row."""
    freedom = len(margins_NT) - 1
    own = margins_NT.var(0, ddof=1)
    variance = (freedom * own + PRIOR_MODELS * own.mean()) / (freedom + PRIOR_MODELS)
    return margins_NT.mean(0), np.maximum(variance, TINY)


def forgetting_epsilon(unlearned_NT: Array, oracle_NT: Array) -> Array:
    """Measure how well an attacker separates unlearned from retrained models by one row's margin.

    Source: Triantafillou et al. 2024, arXiv 2406.09073, sec. 3. It is the largest of log((1 - delta - FPR) / FNR) and
    log((1 - delta - FNR) / FPR) over a threshold attack and a Gaussian one.

    Attacks are fitted without the model that they judge. Half a count is added to the rates, so that no rate is 0 and
    the largest value is about log((N + 1) / 0.5).

    Args:
        unlearned_NT: Margins of N unlearned models on T rows.
        oracle_NT: Margins of N oracles.

    Returns:
        (T,).
    """
    models = len(unlearned_NT)
    values = np.concatenate([unlearned_NT, oracle_NT])
    truth = np.arange(2 * models) < models
    best = np.zeros(values.shape[1])
    for attack in (_threshold_attack, _gaussian_attack):
        taken = np.stack([attack(values, truth, held_out) for held_out in range(2 * models)])
        fnr = ((~taken[truth]).sum(0) + 0.5) / (models + 1)
        fpr = (taken[~truth].sum(0) + 0.5) / (models + 1)
        for first, second in ((fpr, fnr), (fnr, fpr)):
            best = np.maximum(best, np.log(np.maximum(1 - DELTA - first, 1e-12) / second))
    return best


def _threshold_attack(values: Array, truth: Mask, held_out: int) -> Mask:
    """Return the rows on which the held-out model passes as unlearned, by the best threshold of the others."""
    rest = np.delete(values, held_out, axis=0)
    labels = np.delete(truth, held_out)
    above = rest[:, None, :] > rest[None, :, :]  # [model, threshold, row]
    right = (above == labels[:, None, None]).mean(0)
    upward, downward = right.max(0), (1 - right).max(0)
    chosen = np.where(upward >= downward, right.argmax(0), right.argmin(0))
    limit = np.take_along_axis(rest, chosen[None], axis=0)[0]
    return np.asarray((values[held_out] > limit) == (upward >= downward))


def _gaussian_attack(values: Array, truth: Mask, held_out: int) -> Mask:
    """Do the same by the likelihood ratio of two normal distributions."""
    from scipy.stats import norm

    rest, labels = np.delete(values, held_out, axis=0), np.delete(truth, held_out)
    logs = []
    for side in (labels, ~labels):
        spread = np.maximum(rest[side].std(0, ddof=1), 1e-9)
        logs.append(norm.logpdf(values[held_out], rest[side].mean(0), spread))
    return np.asarray(logs[0] > logs[1])


def forgetting_quality(epsilon_T: Array) -> float:
    """Return the mean over rows of 2 / 2^n, n the number (from 1) of epsilon's bin of width 0.5; 1: no attack works."""
    return float(np.mean(2.0 / 2 ** (np.floor(epsilon_T / BIN_WIDTH) + 1)))
