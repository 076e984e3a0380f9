"""Forget rows and a bank of retain rows as the original sees them, gathered over ranks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cu_core.data.order import EpochOrder, Rows
from cu_core.data.schema import Split
from cu_core.data.texts import load_batch
from cu_core.dist import gather_rows
from cu_core.methods.base import Preparation
from cu_core.salts import Salt
from cu_core.types import Batch


def bank_rows(prep: Preparation, count: int) -> Rows:
    """Return at most ``count`` retain rows, drawn at random."""
    split = prep.split
    drawn = EpochOrder(split.num_retain, prep.seed + Salt.BANK_ROWS).at(0, min(count, split.num_retain))
    return np.sort(split.retain_rows(drawn))


@torch.no_grad()
def gather_measured(
    prep: Preparation, rows: Rows, measure: Callable[[Batch], tuple[Tensor, ...]], split: Split = "train"
) -> tuple[tuple[Tensor, ...], int]:
    """Apply ``measure`` to rows and gather the results over all ranks.

    Args:
        prep: The original and the data.
        rows: Rows of the split.
        measure: Batch -> tensors with one entry for each row.
        split: The split.

    Returns:
        The gathered tensors, and the number of rows that this rank forwarded.
    """
    parts = [measure(batch) for batch in prep.batches(rows, split)]
    if not parts:  # a rank without rows still enters the collectives
        parts = [tuple(column[:0] for column in measure(_any_batch(prep)))]
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    return tuple(gather_rows(column) for column in columns), len(columns[0])


def _any_batch(prep: Preparation) -> Batch:
    return load_batch(prep.split.reader, "train", np.zeros(1, np.int64), prep.model.tokenize).to(prep.device)
