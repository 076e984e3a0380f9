"""Retrieval between images and captions. Q queries, K keys, D width; embeddings have unit norm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Mask = NDArray[np.bool_]


def found_within(queries_QD: Features, keys_KD: Features, relevant_QK: Mask, top: int) -> Mask:
    """(Q,): whether one of the ``top`` nearest keys is relevant (recall at ``top`` is its mean; Radford et al. 2021,
    arXiv 2103.00020, appendix E)."""
    cosine = queries_QD @ keys_KD.T
    top = min(top, len(keys_KD))
    nearest = np.argpartition(-cosine, top - 1, axis=1)[:, :top]
    return np.asarray(np.take_along_axis(relevant_QK, nearest, axis=1).any(1))
