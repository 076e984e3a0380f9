"""Training rows that become the test split by what their columns hold, e.g. all images of one style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cu_core.data.predicate import parse_predicate, without_value
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import Source
from cu_core.errors import DataError
from cu_core.messages import reason_of, shown_value

FITS = ""


def held_out(source: Source, where: str) -> Source:
    """Return a source whose training rows become test rows where an expression holds.

    The rows are read once more to count them.

    Args:
        source: The source.
        where: Expression, as of ``by_predicate`` requests.

    Returns:
        The source.

    Raises:
        DataError: The source has a test split, or no or every training row fits.
        UserError: The expression does not fit the columns.
    """
    if source.counts.get("test"):
        raise DataError(f"--test-where makes a test split; {source.name} has one ({source.counts['test']} rows).")
    found = Counter[str]()
    for chunk in source.read():
        if chunk.split == "train":
            found.update({what: int(rows.sum()) for what, rows in _told(chunk, where).items()})
    taken = found.pop(FITS)
    train = source.counts.get("train", 0)
    if not 0 < taken < train:
        raise DataError(
            f"--test-where {shown_value(where)} must fit some of the {train} training rows, it fits {taken}."
        )

    def read() -> Iterator[Chunk]:
        for chunk in source.read():
            if chunk.split != "train":
                yield chunk
                continue
            fits = _fits(chunk, where)
            yield chunk.rows(np.flatnonzero(~fits))
            yield replace(chunk.rows(np.flatnonzero(fits)), split="test")

    notes = {**source.notes, f"test split, rows where {where}": taken, **{what: n for what, n in found.items() if n}}
    return replace(source, counts={**source.counts, "train": train - taken, "test": taken}, read=read, notes=notes)


def _fits(chunk: Chunk, where: str) -> NDArray[np.bool_]:
    return _told(chunk, where)[FITS]


def _told(chunk: Chunk, where: str) -> dict[str, NDArray[np.bool_]]:
    """Return which rows fit, and of which nothing can be said, by what they lack."""
    label = pa.table({"label": chunk.labels})
    columns = label if chunk.extra is None else chunk.extra.append_column("label", label["label"])
    predicate = parse_predicate(where, columns.schema)
    named = {f"not in the test split by --test-where, no {name}": left for name, left in without_value(predicate)}
    found = {}
    for what, expression in {FITS: predicate.expression, **named}.items():
        try:
            numbered = columns.append_column("", pa.array(np.arange(len(columns)))).filter(expression)
        except pa.ArrowException as error:
            raise DataError(
                f"--test-where {shown_value(where)} does not fit the columns: {reason_of(error)}."
            ) from error
        found[what] = np.zeros(len(chunk.labels), np.bool_)
        found[what][numbered.column(numbered.num_columns - 1).to_numpy()] = True
    return found
