"""Equations 5 to 7 of Lee et al. 2025 (arXiv 2401.10458) and their variants in double loops, gradients by hand.

i counts the N forget rows (anchors), m the M retain rows (keys); s_im = a_i . k_m / tau, both at length one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.golden.plain_losses import Array, log_sum_exp, softmax, through_unit, unit_rows


@dataclass(frozen=True)
class Parts:
    """Sums over anchors, and their gradients with respect to s (N, M)."""

    pull: float
    push: float
    d_pull: Array
    d_push: Array
    without_same: int
    """Anchors without a retain row of their class."""


def spread(shares_NC: Array, key_labels: Sequence[int]) -> Array:
    """(N, M): a class's share of an anchor, divided by the number of keys of the class."""
    out = np.zeros((len(shares_NC), len(key_labels)))
    for i, share in enumerate(shares_NC):
        for m, label in enumerate(key_labels):
            out[i, m] = share[label] / sum(other == label for other in key_labels)
    return out


def equation_5(
    scores: Array,
    labels: Sequence[int],
    key_labels: Sequence[int],
    weights: Array | None,
    excess: Sequence[float],
    own_class_pulls: bool = False,
    softmax_pull: bool = False,
) -> Parts:
    """pull_i = - weighted mean_a s_ia (+ log sum_a e^s_ia); push_i = excess_i log sum_p e^s_ip."""
    pull, push, without = 0.0, 0.0, 0
    d_pull, d_push = np.zeros_like(scores), np.zeros_like(scores)
    for i, label in enumerate(labels):
        same = [m for m, other in enumerate(key_labels) if other == label]
        pulling = [m for m in range(len(key_labels)) if own_class_pulls or m not in same]
        given = [1.0 if weights is None else weights[i, m] for m in pulling]
        mass = sum(given)
        if mass > 0:
            for m, w in zip(pulling, given, strict=True):
                pull -= w / mass * scores[i, m]
                d_pull[i, m] -= w / mass
            if softmax_pull:
                pull += log_sum_exp([scores[i, m] for m in pulling])
                d_pull[i, pulling] += softmax([scores[i, m] for m in pulling])
        if same:
            push += excess[i] * log_sum_exp([scores[i, m] for m in same])
            d_push[i, same] += excess[i] * softmax([scores[i, m] for m in same])
        without += not same
    return Parts(pull, push, d_pull, d_push, without)


def mean_cosine(anchors: Array) -> tuple[float, Array]:
    """Over ordered pairs i != j of unit rows, and its gradient with respect to them."""
    count, total, gradient = len(anchors), 0.0, np.zeros_like(anchors)
    for i in range(count):
        for j in range(count):
            if i != j:
                total += float(anchors[i] @ anchors[j]) / (count * (count - 1))
                gradient[i] += anchors[j] / (count * (count - 1))
                gradient[j] += anchors[i] / (count * (count - 1))
    return total, gradient


def through_scores(d_scores: Array, forget: Array, keys: Array, temperature: float) -> tuple[Array, Array]:
    """Gradients with respect to features (not of unit length) from those with respect to s."""
    anchors, unit_keys = unit_rows(forget), unit_rows(keys)
    d_anchors, d_keys = np.zeros_like(anchors), np.zeros_like(unit_keys)
    for i in range(len(anchors)):
        for m in range(len(unit_keys)):
            d_anchors[i] += d_scores[i, m] * unit_keys[m] / temperature
            d_keys[m] += d_scores[i, m] * anchors[i] / temperature
    return through_unit(forget, d_anchors), through_unit(keys, d_keys)


def scores_of(forget: Array, keys: Array, temperature: float) -> Array:
    return np.array([[float(a @ k) / temperature for k in unit_rows(keys)] for a in unit_rows(forget)])
