"""What a model that never saw a row would answer, by the row's neighbours among the retained ones."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.data.order import EpochOrder, Rows
from cu_core.dist import gather_rows
from cu_core.methods.base import Preparation
from cu_core.types import Batch

NEIGHBOURS = 10
SHARPNESS = 0.07
"""Temperature of the votes (Wu et al. 2018, arXiv 1805.01978, sec. 3.4)."""


def bank_rows(prep: Preparation, count: int) -> Rows:
    """At most ``count`` retain rows, drawn at random."""
    split = prep.split
    drawn = EpochOrder(split.num_retain, prep.seed + 606).at(0, min(count, split.num_retain))
    return np.sort(split.retain_rows(drawn))


def neighbour_shares(prep: Preparation, bank: int, smoothing: float = 0.0) -> tuple[Tensor, Tensor, int]:
    """(sample ids ascending (F,), class shares (F, C), rows forwarded by this rank): for every forget row the classes
    of its nearest retain rows by the cosine of the original's hidden feature, which knows a row less than the embedding
    does."""
    forget_ids, forget, _, own = _features(prep, prep.split.forget.rows)
    _, keys, labels, more = _features(prep, bank_rows(prep, bank))
    similarity, nearest = (forget @ keys.T).topk(min(NEIGHBOURS, len(keys)), dim=1)
    votes = F.one_hot(labels[nearest], prep.num_classes).to(forget)
    shares = ((similarity / SHARPNESS).softmax(1)[:, :, None] * votes).sum(1)
    shares = (NEIGHBOURS * shares + smoothing / prep.num_classes) / (NEIGHBOURS + smoothing)
    order = forget_ids.argsort()
    return forget_ids[order], shares[order], own + more


@torch.no_grad()
def _features(prep: Preparation, rows: Rows) -> tuple[Tensor, Tensor, Tensor, int]:
    """(ids, unit hidden features, labels) of these rows over all ranks, and how many this rank forwarded."""

    def measure(batch: Batch) -> Tensor:
        hidden = prep.model(batch.images).hidden
        return F.normalize(hidden.float() if hidden.itemsize < 4 else hidden, dim=-1)

    parts = [(b.sample_ids, measure(b), b.labels) for b in prep.batches(rows)]
    if not parts:  # a rank without rows still enters the collectives
        parts = [(b.sample_ids[:0], measure(b)[:0], b.labels[:0]) for b in [_any_batch(prep)]]
    columns = [torch.cat([part[i] for part in parts]) for i in range(3)]
    ids, features, labels = (gather_rows(column) for column in columns)
    return ids, features, labels, len(columns[0])


def _any_batch(prep: Preparation) -> Batch:
    reader, one = prep.split.reader, np.zeros(1, np.int64)
    labels, ids = (torch.from_numpy(f("train", one)) for f in (reader.labels, reader.sample_ids))
    return Batch(*(t.to(prep.device) for t in (reader.images("train", one), labels, ids)))
