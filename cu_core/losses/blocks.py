"""Losses between all rows and all keys, block by block: the whole matrix of similarities is never in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

AT_ONCE = 2**24
"""Most similarities in memory at once. A step with fewer is computed as a whole."""


def blocks(rows: int, keys: int) -> list[slice]:
    """Cut rows into blocks, each of which has at most ``AT_ONCE`` similarities with the keys, or is one row."""
    size = max(1, AT_ONCE // max(keys, 1))
    return [slice(first, min(first + size, rows)) for first in range(0, max(rows, 1), size)]


def by_rows(rows: int, keys: int, part: Callable[[slice], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Apply ``part`` to blocks of rows and concatenate the results.

    What a block computes is not kept for the backward pass, but made again there. So the memory grows with the rows
    and with the keys, but not with their product.

    Args:
        rows: Number of rows.
        keys: Number of keys that each row is compared with.
        part: Block of rows -> tensors with one entry for each row, or for the block. It must not communicate.

    Returns:
        The concatenated tensors.
    """
    cut = blocks(rows, keys)
    if len(cut) == 1:
        return part(cut[0])
    again = torch.is_grad_enabled()
    found = [checkpoint(part, b, use_reentrant=False, preserve_rng_state=False) if again else part(b) for b in cut]
    return tuple(torch.cat(column) for column in zip(*found, strict=True))


def sum_by_rows(rows: int, keys: int, part: Callable[[slice], Tensor]) -> Tensor:
    """Sum what ``part`` computes for blocks of rows, a scalar each, as ``by_rows`` does."""
    (found,) = by_rows(rows, keys, lambda block: (part(block)[None],))
    return found.sum()
