"""The rows that retain rows are drawn from: all training rows, or those of some shards, without what is forgotten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cu_core.data.order import Rows, mix, skip_rows
from cu_core.data.schema import DataError


@dataclass(frozen=True)
class RetainPool:
    """Stretches of consecutive training rows, in ascending order; needs memory for stretches and forget rows only."""

    firsts: Rows
    counts: Rows
    skipped: Rows
    """Forget rows among them, by their position in the pool, ascending."""

    @property
    def size(self) -> int:
        """Retain rows in it."""
        return int(self.counts.sum()) - len(self.skipped)

    def rows(self, ordinals: Rows) -> Rows:
        """Training row of the k-th retain row of the pool."""
        places = skip_rows(ordinals, self.skipped)
        ends = np.cumsum(self.counts)
        stretch = np.searchsorted(ends, places, side="right")
        found: Rows = self.firsts[stretch] + places - (ends - self.counts)[stretch]
        return found


def retain_pool(firsts: Rows, counts: Rows, forget: Rows, chosen: int | None, seed: int) -> RetainPool:
    """All shards (``firsts`` and ``counts`` of their rows), or ``chosen`` of them, drawn by a hash with ``seed``.

    Raises: DataError if there are fewer shards, or nothing in them is retained.
    """
    if chosen is not None:
        if chosen > len(firsts):
            raise DataError(f"data.retain_shards={chosen}: the training split has {len(firsts)} shards.")
        drawn = np.sort(np.argsort(mix(np.arange(len(firsts)), seed, 55), kind="stable")[:chosen])
        firsts, counts = firsts[drawn], counts[drawn]
    stretch = np.searchsorted(firsts, forget, side="right") - 1
    inside = (stretch >= 0) & (forget < (firsts + counts)[stretch])
    before = np.cumsum(counts) - counts
    pool = RetainPool(firsts, counts, before[stretch[inside]] + forget[inside] - firsts[stretch[inside]])
    if chosen is not None and pool.size == 0:
        raise DataError(f"data.retain_shards={chosen}: all rows of those shards are to be forgotten; take more.")
    return pool
