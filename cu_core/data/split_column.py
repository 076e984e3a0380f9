"""A column ``split`` of a table: the split of each row, whatever the name of its file says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cu_core.data.arrow_types import is_text
from cu_core.data.column_values import bare_type
from cu_core.data.row_problems import RowProblems
from cu_core.data.sources import SourceOptions
from cu_core.data.split_names import split_in_name
from cu_core.data.table_file import Columns, TableFile
from cu_core.errors import DataError

SPLIT = "split"
"""Name of the column, in any case."""
LIKE = {"fold", "partition", "phase", "set", "subset"}
"""Other names of such a column; what it holds decides."""


def split_column(names: Sequence[str], options: SourceOptions) -> str | None:
    """Return the column that names the splits; ``None`` if there is none, or the user gave it a role."""
    found = next((name for name in names if name.strip().lower() == SPLIT), None)
    return None if found in (options.columns or {}).values() else found


def by_split_column(files: Sequence[TableFile], options: SourceOptions, place: str) -> list[TableFile]:
    """Divide files with a column of texts ``split`` into a part for each split; the column goes.

    Args:
        files: The files.
        options: Options of the source.
        place: The source as the user gave it, for errors.

    Returns:
        The parts, and the files without such a column.

    Raises:
        DataError: A row names no split (all of them are named), or a column of another name holds splits.
    """
    problems, parts = RowProblems(place), list[TableFile]()
    for file in files:
        name = split_column(file.schema.names, options)
        kind = bare_type(file.schema.field(name).type) if name and file.schema.names.count(name) == 1 else None
        taken = bool(name and kind and is_text(kind))
        parts += _parts(file, name, problems) if taken and name else [file]
        if not taken:
            _check_others(file, options, place)
    problems.refuse(f"Name the splits train, val and test, or rename the column {SPLIT!r}.")
    return parts


def _check_others(file: TableFile, options: SourceOptions, place: str) -> None:
    for name in file.schema.names:
        like = name.strip().lower() in LIKE and name not in (options.columns or {}).values()
        if not like or file.schema.names.count(name) > 1 or not is_text(bare_type(file.schema.field(name).type)):
            continue
        words = {word for batch in file.read([name]) for word in batch.column(0).unique().to_pylist()}
        splits = {split_in_name(word or "") for word in words}
        if None not in splits and len(splits) > 1:
            raise DataError(
                f"{place}: the column {name!r} of {file.name} holds splits ({', '.join(sorted(words))}); call it "
                f"{SPLIT!r} to use it, or drop it."
            )


def _parts(file: TableFile, name: str, problems: RowProblems) -> Iterator[TableFile]:
    words = [word for batch in file.read([name]) for word in batch.column(0).to_pylist()]
    splits = [split_in_name(word or "") for word in words]
    problems.add(
        f"rows have a {name} that is none of train, val, test",
        file.name,
        [row for row, split in enumerate(splits) if split is None],
    )
    schema = file.schema.remove(file.schema.get_field_index(name))
    for split in sorted({s for s in splits if s}):
        rows = np.flatnonzero(np.array(splits) == split)
        yield replace(file, split=split, num_rows=len(rows), schema=schema, read=_reads(file, schema, rows),
                      numbers=rows)  # fmt: skip


def _reads(
    file: TableFile, schema: pa.Schema, rows: NDArray[np.int64]
) -> Callable[[Columns], Iterator[pa.RecordBatch]]:
    def read(columns: Columns) -> Iterator[pa.RecordBatch]:
        first = 0
        for batch in file.read(schema.names if columns is None else columns):
            low, high = np.searchsorted(rows, [first, first + batch.num_rows])
            if high > low:
                yield batch if high - low == batch.num_rows else batch.take(pa.array(rows[low:high] - first))
            first += batch.num_rows

    return read
