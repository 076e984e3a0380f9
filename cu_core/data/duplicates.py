"""Copies of rows: of equal pixels, near ones by perceptual hash, of equal content by a model, and of equal captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cu_core.data.likeness import BLOCK, KINDS, Limit
from cu_core.data.order import Rows
from cu_core.data.signatures import Signatures

IMAGE_KINDS = ("exact", "near", "mirrored", "content")
"""From the surest to the least sure: a row is told once, by the first kind that finds it."""
CAPTION_KINDS = ("same caption", "near caption")
LIMITS = {
    "near": "near",
    "mirrored": "near",
    "content": "content",
    "same caption": "caption",
    "near caption": "caption",
}
"""The measured limit of each kind; ``exact`` needs none."""


@dataclass(frozen=True)
class Copies:
    """Some rows that are copies, in their order."""

    rows: Rows
    """Places in the signatures, (K,)."""
    of: Rows
    """The row that each is a copy of: the most alike of those that it was compared with, (K,)."""
    kinds: NDArray[np.int64]
    """Place of each one's kind among the kinds that were looked for, (K,)."""
    likeness: NDArray[np.float32]
    """(K,)."""


def find_copies(
    signed: Signatures, limits: Mapping[str, Limit], kinds: Sequence[str], of: Rows | None = None
) -> Iterator[Copies]:
    """Find copies, one block of rows after the other, in memory that does not grow with the rows.

    With ``of``, each of the other rows is compared with each of these: N x M comparisons. Without, each row is compared
    with all rows before it: N x N / 2.

    Args:
        signed: The rows.
        limits: What ``measure_limits`` returned.
        kinds: Kinds to look for, the surest first.
        of: Places of the rows whose copies are looked for; absent: of any row.

    Yields:
        The copies in a block.
    """
    least = [_least(kind, limits) for kind in kinds]
    for start in range(0, len(signed), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(signed)))
        rows = rows if of is None else rows[~np.isin(rows, of)]
        others = np.arange(start + len(rows)) if of is None else of
        if len(rows):
            likeness, nearest = _most_alike(signed, rows, others, kinds, earlier=of is None)
            reached = likeness >= np.array(least, np.float32)[:, None]
            found, first = reached.any(0), reached.argmax(0)
            where = first[found], np.flatnonzero(found)
            yield Copies(rows[found], nearest[where], first[found], likeness[where])


def _least(kind: str, limits: Mapping[str, Limit]) -> float:
    """Return the likeness that a copy of a kind has at least; infinite for a kind that is off."""
    limit = limits[LIMITS[kind]].least if kind in LIMITS else 1.0
    if limit is None:
        return float("inf")
    return 1.0 if kind == "same caption" else limit


def _most_alike(
    signed: Signatures, rows: Rows, others: Rows, kinds: Sequence[str], earlier: bool
) -> tuple[NDArray[np.float32], Rows]:
    """Return, by kind and row, the largest likeness and the other row that has it, both (kinds, N)."""
    likeness = np.full((len(kinds), len(rows)), -1, np.float32)
    nearest = np.zeros((len(kinds), len(rows)), np.int64)
    block = signed.part(rows)
    for start in range(0, len(others), BLOCK):
        part = others[start : start + BLOCK]
        compared = signed.part(part)
        for number, kind in enumerate(kinds):
            found = KINDS[kind](block, compared)
            if earlier:
                found[part >= rows[:, None]] = -1
            place = found.argmax(1)
            value = found[np.arange(len(rows)), place]
            better = value > likeness[number]
            likeness[number, better], nearest[number, better] = value[better], part[place[better]]
    return likeness, nearest
