"""Distances between the answers of two models, row by row. N rows, C classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, rel_entr

Probabilities = NDArray[np.floating]
PerRow = NDArray[np.float64]


def jensen_shannon(p_NC: Probabilities, q_NC: Probabilities) -> PerRow:
    """Compute the Jensen-Shannon divergence of each row in nats, 0 to log 2 (Lin 1991): the mean KL to the mixture."""
    p, q = p_NC.astype(np.float64), q_NC.astype(np.float64)
    middle = (p + q) / 2
    return np.asarray((rel_entr(p, middle) + rel_entr(q, middle)).sum(1) / 2, dtype=np.float64)


def total_variation(p_NC: Probabilities, q_NC: Probabilities) -> PerRow:
    """Compute half the L1 distance of each row, 0 to 1."""
    return np.asarray(np.abs(p_NC.astype(np.float64) - q_NC).sum(1) / 2, dtype=np.float64)


def entropy(p_NC: Probabilities) -> PerRow:
    """Compute the entropy of each row in nats, 0 to log C."""
    return np.asarray(entr(p_NC.astype(np.float64)).sum(1), dtype=np.float64)
