"""How alike rows are, by kind, and from which likeness on they count as copies, measured on pairs known to differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cu_core.data.order import EpochOrder
from cu_core.data.signatures import HASH_BITS, HASHED, SAMPLE_ROWS, UNREADABLE, Signatures
from cu_core.errors import UserError
from cu_core.salts import Salt

RATE = 1e-6
"""Share of pairs of different rows that a kind may take for copies."""
MOST_RATE = 0.01
BLOCK = 1024
MOST_BITS = 10
"""Largest distance of perceptual hashes that are taken for one image, however few pairs were measured."""
LEAST_COSINE = 0.5
"""The same for cosines."""
FAR_BITS = 20
"""Two images are known to differ if their hashes differ in so many bits, mirrored too."""
EQUAL = 0.999
"""Cosine from which on two vectors of half precision may be equal."""
Likeness = NDArray[np.float32]
"""(N, M): 1 for equal rows, -1 for those that cannot be compared."""


def exact(a: Signatures, b: Signatures) -> Likeness:
    """Compare decoded pixels: 1 if all are equal, else -1."""
    readable = (a.rows["state"] != UNREADABLE)[:, None] & (b.rows["state"] != UNREADABLE)
    return _one_or_none((a.rows["pixels"][:, None] == b.rows["pixels"]) & readable)


def near(a: Signatures, b: Signatures) -> Likeness:
    """Compare perceptual hashes: the share of equal bits."""
    return _equal_bits(a, b, "hash")


def mirrored(a: Signatures, b: Signatures) -> Likeness:
    """Compare perceptual hashes of images and of mirror images."""
    return _equal_bits(a, b, "mirrored")


def content(a: Signatures, b: Signatures) -> Likeness:
    """Compare features of a model: their cosine."""
    return _cosine(a, b, "content")


def same_caption(a: Signatures, b: Signatures) -> Likeness:
    """Compare normalised captions: 1 if they are equal, else -1."""
    return _one_or_none((a.rows["caption"][:, None] == b.rows["caption"]) & (b.rows["caption"] != 0))


def near_caption(a: Signatures, b: Signatures) -> Likeness:
    """Compare captions: the cosine of the counts of their letters."""
    return _cosine(a, b, "caption")


def _one_or_none(same: NDArray[np.bool_]) -> Likeness:
    return np.where(same, np.float32(1), np.float32(-1))


def _equal_bits(a: Signatures, b: Signatures, name: str) -> Likeness:
    bits = np.bitwise_count(a.rows["hash"][:, None] ^ b.rows[name])
    hashed = (a.rows["state"] == HASHED)[:, None] & (b.rows["state"] == HASHED)
    return np.where(hashed, 1 - bits.astype(np.float32) / HASH_BITS, np.float32(-1))


def _cosine(a: Signatures, b: Signatures, name: str) -> Likeness:
    found: Likeness = a.vectors[name].astype(np.float32) @ b.vectors[name].astype(np.float32).T
    return found


KINDS: Mapping[str, Callable[[Signatures, Signatures], Likeness]] = {
    "exact": exact,
    "near": near,
    "mirrored": mirrored,
    "content": content,
    "same caption": same_caption,
    "near caption": near_caption,
}


@dataclass(frozen=True)
class Limit:
    """Likeness from which on two rows are copies of each other, by one way to compare them."""

    least: float | None
    """``None``: it cannot tell different rows of this data apart, and finds nothing."""
    false_pairs: int
    """Pairs that are known to differ and are as alike."""
    pairs: int
    """Pairs that are known to differ."""

    @property
    def told(self) -> str:
        """The limit in words."""
        if self.least is None:
            return f"off: too many of {self.pairs:,} pairs that are known to differ are equal"
        return (
            f"at least {self.least:.3f}; {self.false_pairs} of {self.pairs:,} pairs that are known to differ reach it"
        )


class _Closest:
    """The largest values of many, in memory for ``count`` of them."""

    def __init__(self, count: int):
        self.values, self.count, self.pairs = np.empty(0, np.float32), count, 0

    def add(self, values: Likeness) -> None:
        self.pairs += len(values)
        joined = np.concatenate([self.values, values])
        self.values = -np.sort(-joined)[: self.count]

    def limit(self, rate: float, least: float, step: float, most: float = 1.0) -> Limit:
        """Return the smallest likeness above all but a share ``rate`` of the values, and not below ``least``."""
        allowed = int(rate * self.pairs)
        least = max(least, float(self.values[allowed]) + step) if allowed < len(self.values) else least
        return Limit(least if least <= most else None, int((self.values >= least).sum()), self.pairs)


def check_rate(rate: float) -> None:
    """Check a share of pairs.

    Raises:
        UserError: It is none, or so large that nothing would be told apart.
    """
    if not 0 < rate <= MOST_RATE:
        raise UserError(f"rate must lie above 0 and be at most {MOST_RATE:g}, got {rate:g}.")


def measure_limits(signed: Signatures, rate: float = RATE) -> Mapping[str, Limit]:
    """Measure from which likeness on rows are copies, on the pairs of a sample of rows.

    Rows of different classes are known to differ for perceptual hashes, which read no class (without classes: rows of
    different pixels). For features and captions, rows are known to differ whose hashes are far apart. Copies among
    these pairs that nobody knows of only make a limit stricter.

    The pairs are those of a sample of ``SAMPLE_ROWS`` rows, 12.5 million.

    Args:
        signed: The rows.
        rate: Largest share of the pairs that are known to differ and count as copies.

    Returns:
        Limits of ``near`` (``mirrored`` too), ``content`` and ``caption``, of those that were read.
    """
    count = min(len(signed), SAMPLE_ROWS)
    sample = signed.part(np.sort(EpochOrder(len(signed), Salt.COPY_SAMPLE).at(0, count)))
    kept = int(rate * count * (count - 1) / 2) + 1
    closest = {name: _Closest(kept) for name in ("near", *signed.vectors)}
    for start in range(0, count, BLOCK):
        block, before = sample.part(slice(start, start + BLOCK)), sample.part(slice(0, start + BLOCK))
        earlier = np.arange(len(before)) < np.arange(start, start + len(block))[:, None]
        hashes = np.maximum(near(block, before), mirrored(block, before))
        by = "label" if signed.num_classes > 1 else "pixels"
        closest["near"].add(hashes[earlier & (hashes >= 0) & (block.rows[by][:, None] != before.rows[by])])
        far = earlier & (hashes >= 0) & (hashes <= 1 - FAR_BITS / HASH_BITS)
        for name in signed.vectors:
            closest[name].add(_cosine(block, before, name)[far])
    return {
        name: found.limit(rate, 1 - MOST_BITS / HASH_BITS, 1 / HASH_BITS)
        if name == "near"
        else found.limit(rate, LEAST_COSINE, 1e-6, EQUAL)
        for name, found in closest.items()
    }
