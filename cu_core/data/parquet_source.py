"""Parquet files as a source: any layout of folders, one schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cu_core.data.image_column import MEGABYTE
from cu_core.data.source_files import files_of
from cu_core.data.sources import CHUNK_ROWS, Source, SourceOptions
from cu_core.data.split_column import by_split_column
from cu_core.data.split_names import split_of_path
from cu_core.data.table_file import Columns, TableFile
from cu_core.data.table_source import TableSource
from cu_core.errors import DataError

BATCH_BYTES = 64 * MEGABYTE
"""About as much of a file is in memory at a time."""


def parquet(argument: str, options: SourceOptions) -> Source:
    """``DIR/**/*.parquet`` or one file: images, labels or captions, and any further columns.

    The split is that in a column ``split``, else in the name of the file, else of the nearest folder.

    Raises:
        DataError: There is no file, or one cannot be used.
    """
    notes: dict[str, int] = {}
    root, paths = files_of("parquet", argument, (".parquet", ".pq"), notes)
    files = [parquet_file(path, path.relative_to(root), options.max_file_mb) for path in paths]
    files = by_split_column(files, options, f"parquet:{argument}")
    table = TableSource(f"parquet:{argument}", files, options, Path(options.image_root or root))
    return table.source(root.resolve().name, notes)


def parquet_file(path: Path, relative: Path, max_file_mb: int) -> TableFile:
    """Open a Parquet file.

    Raises:
        DataError: It is empty, truncated or not Parquet, or its rows are too large.
    """
    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a whole Parquet file: {_reason(path, error)}.") from error
    rows = CHUNK_ROWS
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        row_bytes = group.total_byte_size / max(1, group.num_rows)
        if row_bytes > max_file_mb * MEGABYTE:
            raise DataError(
                f"{path}: rows of row group {number} have {row_bytes / MEGABYTE:.0f} MiB, more than --max-file-mb "
                f"{max_file_mb}."
            )
        rows = max(1, min(rows, int(BATCH_BYTES / max(1, row_bytes))))
    return TableFile(str(relative), split_of_path(relative), metadata.num_rows, schema, _reads(path, rows))


def _reads(path: Path, rows: int) -> Callable[[Columns], Iterator[pa.RecordBatch]]:
    def read(columns: Columns) -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(rows, columns=None if columns is None else list(columns))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} is damaged: {_reason(path, error)}.") from error

    return read


def _reason(path: Path, error: BaseException) -> str:
    return "it is empty" if not path.stat().st_size else str(error).splitlines()[0].rstrip(".")
