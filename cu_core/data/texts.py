"""A caption for each row, as the model reads it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cu_core.data.order import Rows, hash64
from cu_core.data.schema import Split
from cu_core.data.shard_reader import ShardReader
from cu_core.types import Batch, Tokenize


def caption_tokens(reader: ShardReader, split: Split, rows: Rows, tokenize: Tokenize, *keys: int) -> Tensor:
    """Tokenize one caption of each row.

    Args:
        reader: The data set.
        split: Split of the rows.
        rows: The rows, (N,).
        tokenize: Texts -> int64 (N, L).
        *keys: Keys of the hash of the sample_id that chooses one of a row's captions. Without keys the first is used.

    Returns:
        int64 (N, L).

    Raises:
        DataError: The data or a row has no caption.
    """
    captions = reader.captions(split, rows)
    drawn = hash64(reader.sample_ids(split, rows), *keys) if keys else np.zeros(len(rows), np.uint64)
    chosen = [texts[int(d) % len(texts)] for texts, d in zip(captions, drawn, strict=True)]
    return tokenize(chosen) if chosen else tokenize([""])[:0]


def load_batch(reader: ShardReader, split: Split, rows: Rows, tokenize: Tokenize | None, *keys: int) -> Batch:
    """Load rows as they are stored, with one caption each if ``tokenize`` is given.

    Args:
        reader: The data set.
        split: Split of the rows.
        rows: The rows, (N,).
        tokenize: Texts -> int64 (N, L), or ``None`` for models without captions.
        *keys: Keys that choose one of a row's captions.

    Returns:
        The batch.
    """
    labels, ids = (torch.from_numpy(read(split, rows)) for read in (reader.labels, reader.sample_ids))
    tokens = caption_tokens(reader, split, rows, tokenize, *keys) if tokenize else None
    return Batch(reader.images(split, rows), labels, ids, tokens)
