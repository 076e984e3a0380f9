"""The rows from which retain rows are drawn: all training rows or those of some shards, minus the forget rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cu_core.data.order import Rows, hash64, skip_rows
from cu_core.errors import DataError
from cu_core.salts import Salt


@dataclass(frozen=True)
class RetainPool:
    """Ranges of consecutive training rows, ascending; uses memory for the ranges and the forget rows only."""

    firsts: Rows
    counts: Rows
    skipped: Rows
    """Forget rows among them, by their position in the pool, ascending."""

    @property
    def size(self) -> int:
        """Number of retain rows in the pool."""
        return int(self.counts.sum()) - len(self.skipped)

    def rows(self, ordinals: Rows) -> Rows:
        """Return the training row of the k-th retain row of the pool, for each k in ``ordinals``."""
        places = skip_rows(ordinals, self.skipped)
        ends = np.cumsum(self.counts)
        stretch = np.searchsorted(ends, places, side="right")
        found: Rows = self.firsts[stretch] + places - (ends - self.counts)[stretch]
        return found


def retain_pool(firsts: Rows, counts: Rows, forget: Rows) -> RetainPool:
    """Build the pool of the retained rows in some ranges of training rows.

    Args:
        firsts: First row of each range, ascending.
        counts: Number of rows of each range.
        forget: Forget rows, ascending.

    Returns:
        The pool.
    """
    stretch, inside = _stretches(firsts, counts, forget)
    before = np.cumsum(counts) - counts
    return RetainPool(firsts, counts, before[stretch] + forget[inside] - firsts[stretch])


def _stretches(firsts: Rows, counts: Rows, forget: Rows) -> tuple[Rows, NDArray[np.bool_]]:
    """Return (range of each forget row that lies in one, mask of these forget rows)."""
    stretch = np.searchsorted(firsts, forget, side="right") - 1
    inside = (stretch >= 0) & (forget < (firsts + counts)[stretch])
    return stretch[inside], inside


def two_pools(
    firsts: Rows, counts: Rows, forget: Rows, chosen: int, others: int, seed: int
) -> tuple[RetainPool, RetainPool]:
    """Draw a pool of shards for training and a pool of other shards for measuring.

    Args:
        firsts: First row of each shard.
        counts: Number of rows of each shard.
        forget: Forget rows, ascending.
        chosen: Number of shards of the first pool, drawn by a hash with ``seed`` among those with retained rows.
        others: Largest number of shards of the second pool. They are not in the first pool, unless that one holds all
            shards; then both are the same.
        seed: Seed of the draw.

    Returns:
        Both pools.

    Raises:
        DataError: Fewer than ``chosen`` shards hold retained rows.
    """
    kept = counts - np.bincount(_stretches(firsts, counts, forget)[0], minlength=len(counts))
    order = np.argsort(hash64(np.arange(len(firsts)), seed, Salt.RETAIN_SHARDS), kind="stable")
    order = order[kept[order] > 0]
    if chosen > len(order):
        raise DataError(
            f"data.retain_shards={chosen}: of the {len(firsts)} training shards {len(order)} hold retained rows."
        )

    def pool(shards: Rows) -> RetainPool:
        return retain_pool(firsts[shards], counts[shards], forget)

    first, rest = np.sort(order[:chosen]), np.sort(order[chosen : chosen + others])
    return pool(first), pool(rest if len(rest) else first)
