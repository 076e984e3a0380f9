"""Order as a pure function: keyed hashes and permutations that need no memory per row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Hashes = NDArray[np.uint64]


def hash64(values: Rows | Hashes, *keys: int) -> Hashes:
    """Compute a keyed 64-bit hash of each value (SplitMix64 finaliser, Steele et al. 2014).

    The hashes are uniform and the same on every machine.
    """
    x = values.astype(np.uint64)
    for key in (0, *keys):
        x = x + np.uint64((key * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return x


def hash_uniform(values: Rows | Hashes, *keys: int) -> NDArray[np.float64]:
    """Compute a keyed uniform number in [0, 1) for each value."""
    numbers: NDArray[np.float64] = (hash64(values, *keys) >> np.uint64(11)).astype(np.float64) / 2.0**53
    return numbers


def _permute(index: Rows, count: int, *keys: int) -> Rows:
    """Return the keyed permutation of 0..count-1 at ``index``: four Feistel rounds, repeated until in range."""
    half = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
    mask = np.uint64(2**half - 1)
    shift = np.uint64(half)

    def rounds(x: Hashes) -> Hashes:
        left, right = x >> shift, x & mask
        for number in range(4):
            left, right = right, left ^ (hash64(right, *keys, number) & mask)
        return (left << shift) | right

    x = rounds(index.astype(np.uint64))
    while (outside := x >= count).any():
        x[outside] = rounds(x[outside])
    return x.astype(np.int64)


@dataclass(frozen=True)
class EpochOrder:
    """An endless stream over 0..count-1 in which every epoch is a new permutation.

    Any part of it can be computed without the parts before it.
    """

    count: int
    seed: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError("an order needs at least one row.")

    def at(self, start: int, size: int) -> Rows:
        """Return the members ``start`` to ``start + size - 1`` of the stream."""
        position = np.arange(start, start + size, dtype=np.int64)
        epochs = position // self.count
        out = np.empty(size, dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            out[here] = _permute(position[here] % self.count, self.count, self.seed, int(epoch))
        return out


def skip_rows(ordinals: Rows, skipped: Rows) -> Rows:
    """Return the row of the k-th member of all rows except ``skipped`` (sorted); uses memory for ``skipped`` only."""
    gaps = skipped - np.arange(len(skipped))
    return ordinals + np.searchsorted(gaps, ordinals, side="right").astype(np.int64)
