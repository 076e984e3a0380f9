"""A class put back into a classifier's head by hand: a row that is made of a few embeddings, without training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cu_core.metrics.representation import Features, Labels, draw_rows, unit


class Known(NamedTuple):
    """Outputs of a model on N rows."""

    embedding: Features
    """(N, D)."""
    logits: Features
    """(N, C)."""
    labels: Labels
    """(N,)."""


def imprinted_recovery(
    forget: tuple[Features, Labels], retain: Known, test: Known, *, shots: int, draws: int, seed: int
) -> NDArray[np.float64]:
    """Measure how often a row of the head made of a few forget rows suffices to recognise test rows of their class.

    With l_k the logit of retained class k, the logit of a forgotten class becomes

        mean_k l_k(z) + s (p - m) . (z - m) / |p - m|

    p is the mean of ``shots`` embeddings of the class (Ha et al. 2025, arXiv 2506.01318; Qi et al. 2018, arXiv
    1712.07136), m the mean of the retained classes' means, and s the slope with which the retained classes' own logits
    rise from m to their mean. For a linear head this is one row and one bias. It depends neither on where the origin of
    the features lies nor on what is added to all logits.

    Args:
        forget: Embeddings and labels of the forget rows.
        retain: Retain rows.
        test: Test rows of the forgotten classes.
        shots: Forget rows behind a row of the head.
        draws: Number of draws.
        seed: Seed of the draws.

    Returns:
        The share of draws in which each test row is given its own class, (N,).
    """
    retained, classes = np.unique(retain.labels), np.unique(forget[1])
    logits = test.logits.astype(np.float64)[:, retained]
    middle, slope = _middle_and_slope(retain, retained)
    away = test.embedding.astype(np.float64) - middle
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        few = [draw_rows(rng, np.nonzero(forget[1] == own)[0], shots) for own in classes]
        means = np.stack([forget[0][rows].astype(np.float64).mean(0) for rows in few]) - middle
        made = logits.mean(1, keepdims=True) + slope * away @ unit(means).T
        right = classes[made.argmax(1)] == test.labels
        found.append(right & (made.max(1) > logits.max(1)))
    return np.asarray(np.mean(found, axis=0), dtype=np.float64)


def _middle_and_slope(retain: Known, classes: Labels) -> tuple[NDArray[np.float64], float]:
    """Return m, (D,), and s."""
    masks = [retain.labels == own for own in classes]
    means = np.stack([retain.embedding[mask].astype(np.float64).mean(0) for mask in masks])
    logits = np.stack([retain.logits[mask].astype(np.float64).mean(0)[classes] for mask in masks])
    logits -= logits.mean(1, keepdims=True)
    middle = means.mean(0)
    rises = np.diagonal(logits) - logits.mean(0)
    lengths = np.maximum(np.linalg.norm(means - middle, axis=1), 1e-12)
    return middle, float((rises / lengths).mean())
