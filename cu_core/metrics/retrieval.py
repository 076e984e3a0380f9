"""Retrieval between images and captions. Q queries, K keys, D width; embeddings have unit norm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Mask = NDArray[np.bool_]
AT_ONCE = 2**24
"""Most similarities in memory at once; with their order and the matches about 20 bytes each."""


def blocks(queries: int, keys: int) -> list[slice]:
    """Cut queries into blocks, each of which has at most ``AT_ONCE`` similarities with the keys, or is one query."""
    size = max(1, AT_ONCE // max(keys, 1))
    return [slice(first, first + size) for first in range(0, max(queries, 1), size)]


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


def r_precision(
    queries_QD: Features, keys_KD: Features, relevant_QK: Mask, own_Q: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Compute the R-precision of each query (Manning et al. 2008, Introduction to Information Retrieval, sec. 8.4).

    It is the share of a query's R relevant keys among its R nearest. With one relevant key it says whether that one is
    found first. Of keys that are equally near, each is as likely to be found (mean over their orders), so that a model
    which embeds all alike finds what chance finds.

    Args:
        queries_QD: Unit embeddings of the queries.
        keys_KD: Unit embeddings of the keys.
        relevant_QK: Which keys are relevant.
        own_Q: Place of each query among the keys, if it is one of them: it does not find itself.

    Returns:
        (Q,), 0 to 1.
    """
    cosine = queries_QD @ keys_KD.T
    cosine[np.isnan(cosine)] = -np.inf  # of a model that diverged
    if own_Q is not None:
        rows = np.arange(len(own_Q))
        cosine[rows, own_Q], relevant_QK = -np.inf, relevant_QK.copy()
        relevant_QK[rows, own_Q] = False
    counts = relevant_QK.sum(1)
    if not len(keys_KD):
        return np.zeros(len(queries_QD))
    last = np.maximum(counts - 1, 0)[:, None]
    least = np.take_along_axis(-np.sort(-cosine, axis=1), last, axis=1)
    nearer, level = cosine > least, cosine == least
    free = counts - nearer.sum(1)
    found = (relevant_QK & nearer).sum(1) + free * (relevant_QK & level).sum(1) / level.sum(1)
    return np.asarray(np.where(counts > 0, found / np.maximum(counts, 1), 0), np.float64)


def k_occurrences(queries_QD: Features, keys_KD: Features, top: int) -> NDArray[np.int64]:
    """Count for how many queries each key is among the ``top`` nearest, in blocks of bounded memory.

    Source: Radovanovic et al. 2010, Hubs in Space, JMLR 11, sec. 2.1 (N_k).

    Args:
        queries_QD: Unit embeddings of the queries.
        keys_KD: Unit embeddings of the keys.
        top: Number of nearest keys, at most K.

    Returns:
        (K,).
    """
    counts = np.zeros(len(keys_KD), np.int64)
    for part in blocks(len(queries_QD), len(keys_KD)):
        nearest = np.argpartition(-(queries_QD[part] @ keys_KD.T), top - 1, axis=1)[:, :top]
        counts += np.bincount(nearest.ravel(), minlength=len(keys_KD))
    return counts
