"""All copies in a data set, or all copies of some rows, as a table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from cu_core.data.duplicates import CAPTION_KINDS, IMAGE_KINDS, LIMITS, Copies, find_copies
from cu_core.data.likeness import RATE, Limit, check_rate, measure_limits
from cu_core.data.order import Rows
from cu_core.data.schema import SPLITS, Split
from cu_core.data.shard_reader import ShardReader
from cu_core.data.signatures import FLAT, UNREADABLE, Embed, Progress, Signatures, sign_rows

SCHEMA = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("split", pa.string()),
        ("row", pa.int64()),
        ("copy_of", pa.int64()),
        ("copy_of_split", pa.string()),
        ("copy_of_row", pa.int64()),
        ("kind", pa.string()),
        ("likeness", pa.float32()),
    ]
)


@dataclass(frozen=True)
class Duplicates:
    """Copies that were found."""

    table: pa.Table
    """A line for each copy, the most alike first: ids, splits and rows of the copy and of what it is a copy of, kind
    and likeness. A row has at most one line for its image and one for its captions."""
    limits: Mapping[str, Limit]
    """Limit of each kind that was looked for; ``exact`` has none."""
    num_pairs: int
    """Pairs of rows that were compared."""
    notes: tuple[str, ...]
    """What was not compared, or could not be found, in words."""

    def count(self, kind: str) -> int:
        """Return the number of copies of a kind."""
        return int((self.table["kind"].to_numpy() == kind).sum())


def find_duplicates(
    reader: ShardReader,
    *,
    of: Rows | None = None,
    splits: Sequence[Split] = SPLITS,
    embed: Embed | None = None,
    captions: bool = False,
    rate: float = RATE,
    progress: Progress = lambda done, total: None,
) -> Duplicates:
    """Find copies of rows.

    Every row is read once. What it is compared by is kept in temporary files: 50 bytes a row, and 2 bytes for each
    number of its features (captions: 2 KiB). Memory does not grow with the rows, except for 60 bytes a copy.

    Args:
        reader: The data set.
        of: Training rows whose copies are looked for; absent: copies of any row.
        splits: Splits in which copies are looked for; ``train`` is the first.
        embed: Features of a model, by which equal content is found; absent: not looked for.
        captions: Whether equal and similar captions are looked for.
        rate: Largest share of pairs of different rows that a kind may take for copies.
        progress: Called with rows read and rows in total.

    Returns:
        The copies.

    Raises:
        DataError: A shard is damaged, or a row has no caption.
        UserError: ``rate`` is no such share.
    """
    check_rate(rate)
    with tempfile.TemporaryDirectory(prefix="cu-copies-") as folder:
        signed = sign_rows(reader, Path(folder), splits=splits, embed=embed, captions=captions, progress=progress)
        limits = measure_limits(signed, rate)
        images = [kind for kind in IMAGE_KINDS if kind != "content" or embed is not None]
        parts = [_table(signed, part, images) for part in find_copies(signed, limits, images, of)]
        if captions:
            texts = find_copies(signed, limits, CAPTION_KINDS, of)
            parts += [_table(signed, part, CAPTION_KINDS) for part in texts]
        notes = _notes(signed)
        total = len(signed)
    table = pa.concat_tables([SCHEMA.empty_table(), *parts])
    order = [("likeness", "descending"), ("copy_of", "ascending"), ("sample_id", "ascending")]
    wanted = dict.fromkeys(LIMITS[kind] for kind in (*images, *(CAPTION_KINDS if captions else ())) if kind in LIMITS)
    num_pairs = total * (total - 1) // 2 if of is None else len(of) * (total - len(of))
    return Duplicates(table.sort_by(order), {name: limits[name] for name in wanted}, num_pairs, notes)


def _table(signed: Signatures, copies: Copies, kinds: Sequence[str]) -> pa.Table:
    one, other = signed.rows[copies.rows], signed.rows[copies.of]
    names = np.array(SPLITS)
    columns = [
        one["sample_id"],
        names[one["split"]],
        one["row"],
        other["sample_id"],
        names[other["split"]],
        other["row"],
        np.array(kinds)[copies.kinds],
        np.minimum(copies.likeness, 1),
    ]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA)


def _notes(signed: Signatures) -> tuple[str, ...]:
    flat, unreadable = signed.count(FLAT), signed.count(UNREADABLE)
    notes = []
    if flat:
        notes.append(f"images of hardly any structure, such as one colour, compared by their pixels alone: {flat}")
    if unreadable:
        first = "; ".join(problem.rstrip(".") for problem in signed.problems)
        more = "; ..." if unreadable > len(signed.problems) else ""
        notes.append(f"images that do not decode, not compared: {unreadable} ({first}{more})")
    return tuple(notes)
