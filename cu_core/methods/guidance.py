"""What a model that never saw a row would answer, by the row's neighbours among the retained ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.data.order import EpochOrder, Rows
from cu_core.data.texts import load_batch
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

    def measure(batch: Batch) -> tuple[Tensor, ...]:
        hidden = prep.model(batch.images).hidden
        return batch.sample_ids, F.normalize(hidden.float() if hidden.itemsize < 4 else hidden, dim=-1), batch.labels

    (forget_ids, forget, _), own = gather_measured(prep, prep.split.forget.rows, measure)
    (_, keys, labels), more = gather_measured(prep, bank_rows(prep, bank), measure)
    similarity, nearest = (forget @ keys.T).topk(min(NEIGHBOURS, len(keys)), dim=1)
    votes = F.one_hot(labels[nearest], prep.num_classes).to(forget)
    shares = ((similarity / SHARPNESS).softmax(1)[:, :, None] * votes).sum(1)
    shares = (NEIGHBOURS * shares + smoothing / prep.num_classes) / (NEIGHBOURS + smoothing)
    order = forget_ids.argsort()
    return forget_ids[order], shares[order], own + more


@torch.no_grad()
def gather_measured(
    prep: Preparation, rows: Rows, measure: Callable[[Batch], tuple[Tensor, ...]]
) -> tuple[tuple[Tensor, ...], int]:
    """What ``measure`` gives for these training rows, over all ranks, and how many this rank forwarded."""
    parts = [measure(batch) for batch in prep.batches(rows)]
    if not parts:  # a rank without rows still enters the collectives
        parts = [tuple(column[:0] for column in measure(_any_batch(prep)))]
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    return tuple(gather_rows(column) for column in columns), len(columns[0])


def _any_batch(prep: Preparation) -> Batch:
    return load_batch(prep.split.reader, "train", np.zeros(1, np.int64), prep.model.tokenize).to(prep.device)
