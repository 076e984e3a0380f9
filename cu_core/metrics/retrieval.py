"""Retrieval between images and captions. Q queries, K keys, D width; embeddings have unit norm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Mask = NDArray[np.bool_]


def found_within(queries_QD: Features, keys_KD: Features, relevant_QK: Mask, top: int) -> Mask:
    """Return whether one of the ``top`` nearest keys is relevant, (Q,).

    Its mean is the recall at ``top`` (Radford et al. 2021, arXiv 2103.00020, appendix E).

    Args:
        queries_QD: Unit embeddings of the queries.
        keys_KD: Unit embeddings of the keys.
        relevant_QK: Which keys are relevant.
        top: Number of nearest keys.

    Returns:
        bool (Q,).
    """
    cosine = queries_QD @ keys_KD.T
    top = min(top, len(keys_KD))
    nearest = np.argpartition(-cosine, top - 1, axis=1)[:, :top]
    return np.asarray(np.take_along_axis(relevant_QK, nearest, axis=1).any(1))


def r_precision(queries_QD: Features, keys_KD: Features, relevant_QK: Mask) -> NDArray[np.float64]:
    """Compute the R-precision of each query (Manning et al. 2008, Introduction to Information Retrieval, sec. 8.4).

    It is the share of a query's R relevant keys among its R nearest. With one relevant key it says whether that one is
    found first.

    Args:
        queries_QD: Unit embeddings of the queries.
        keys_KD: Unit embeddings of the keys.
        relevant_QK: Which keys are relevant.

    Returns:
        (Q,), 0 to 1.
    """
    order = np.argsort(-(queries_QD @ keys_KD.T), axis=1, kind="stable")
    ranked = np.take_along_axis(relevant_QK, order, axis=1)
    counts = relevant_QK.sum(1)
    first = np.arange(ranked.shape[1])[None] < counts[:, None]
    return np.asarray((ranked & first).sum(1) / np.maximum(counts, 1), np.float64)
