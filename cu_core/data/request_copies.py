"""Copies of the rows that a request names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cu_core.data.duplicate_table import Duplicates, find_duplicates
from cu_core.data.order import Rows
from cu_core.data.shard_reader import ShardReader


@dataclass(frozen=True)
class FoundCopies:
    """Copies of forget rows among the other training rows."""

    rows: Rows
    """Ascending."""
    exact: int
    near: int
    mirrored: int
    notes: tuple[str, ...]
    """How they were found, in words."""

    @property
    def told(self) -> str:
        """Their number, in words."""
        return f"{len(self.rows)} (exact {self.exact}, near {self.near}, mirrored {self.mirrored})"


def copies_of(reader: ShardReader, rows: Rows) -> FoundCopies:
    """Find the training rows that are copies of some of them.

    Copies of copies are not followed.

    Args:
        reader: The data set.
        rows: Training rows.

    Returns:
        The other rows that are copies of these.
    """
    found = find_duplicates(reader, of=rows, splits=("train",))
    copies = np.sort(found.table["row"].to_numpy())
    return FoundCopies(
        copies, found.count("exact"), found.count("near"), found.count("mirrored"), (*_limit(found), *found.notes)
    )


def _limit(found: Duplicates) -> tuple[str, ...]:
    return (f"near copies: likeness {found.limits['near'].told}",)
