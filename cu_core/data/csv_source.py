"""CSV files of image paths with labels or captions as a source."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from cu_core.data.column_roles import find_roles
from cu_core.data.image_column import MEGABYTE
from cu_core.data.row_problems import RowProblems
from cu_core.data.source_files import files_of
from cu_core.data.sources import CHUNK_ROWS, Source, SourceOptions
from cu_core.data.split_names import split_in_name, split_of_path
from cu_core.data.table_source import Columns, TableFile, TableSource
from cu_core.errors import DataError

SEPARATORS = ",;\t|"
ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""By the first bytes of the file."""
SPLIT = "split"
"""Column whose words name the split of a row."""


def csv(argument: str, options: SourceOptions) -> Source:
    """``FILE.csv``, ``FILE.tsv`` or a folder of them: a path, and a label or caption, in each row.

    The separator is the one of ``, ; tab |`` that occurs most in the first line. Paths are relative to the folder of
    the file (``--image-root`` names another) and must not leave it. The split is that in the column ``split``, else in
    the name of the file.

    Raises:
        DataError: There is no file, or one cannot be used.
    """
    notes: dict[str, int] = {}
    root, paths = files_of("csv", argument, (".csv", ".tsv"), notes)
    files = [part for path in paths for part in _files(path, path.relative_to(root), options, notes)]
    table = TableSource(f"csv:{argument}", files, options, Path(options.image_root or root))
    return table.source(Path(argument).stem, notes)


def _files(path: Path, relative: Path, options: SourceOptions, notes: dict[str, int]) -> Iterator[TableFile]:
    table = read_table(path, options, notes)
    if SPLIT not in table.column_names or SPLIT in (options.columns or {}).values():
        yield TableFile(str(relative), split_of_path(relative), table.num_rows, table.schema, _reads(table))
        return
    words = table[SPLIT].cast(pa.string()).to_pylist()
    splits = [split_in_name(word or "") for word in words]
    problems = RowProblems(f"csv:{path}")
    problems.add(f"rows have a {SPLIT} that is none of train, val, test", relative.name,
                 [row for row, split in enumerate(splits) if split is None])  # fmt: skip
    problems.refuse()
    for split in sorted({s for s in splits if s}):
        rows = np.flatnonzero(np.array(splits) == split)
        part = table.take(rows).drop_columns([SPLIT])
        yield TableFile(str(relative), split, part.num_rows, part.schema, _reads(part), rows)


def _reads(table: pa.Table) -> Callable[[Columns], Iterator[pa.RecordBatch]]:
    def read(columns: Columns) -> Iterator[pa.RecordBatch]:
        part = table if columns is None else table.select(list(columns))
        yield from part.combine_chunks().to_batches(max_chunksize=CHUNK_ROWS)

    return read


def read_table(path: Path, options: SourceOptions, notes: dict[str, int]) -> pa.Table:
    """Read a CSV file; columns that have a role are text, the others as Arrow finds their types.

    Raises:
        DataError: The file is too large, empty, not text, or its rows have not one number of columns.
    """
    size = path.stat().st_size
    if size > options.max_file_mb * MEGABYTE:
        raise DataError(f"{path} has {size / MEGABYTE:.0f} MiB, more than --max-file-mb {options.max_file_mb}.")
    raw = path.read_bytes()
    encoding = next((name for mark, name in ENCODINGS.items() if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not {encoding} text (byte {error.start}); save it as UTF-8.") from error
    header = text.lstrip().partition("\n")[0]
    separator = max(SEPARATORS, key=header.count)
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    try:
        content = pa.BufferReader(text.encode())
        names = pa.csv.read_csv(pa.BufferReader(header.encode() + b"\n"), parse_options=parse).column_names
        kinds = dict.fromkeys(_role_columns(names, path, options), pa.string())
        convert = pa.csv.ConvertOptions(column_types=kinds)
        table = pa.csv.read_csv(content, parse_options=parse, convert_options=convert)
    except pa.ArrowException as error:
        raise DataError(f"{path} is not a table separated by {separator!r}: {str(error).splitlines()[0]}.") from error
    notes[f"rows of {path.name}, columns separated by {separator!r}, {encoding}"] = table.num_rows
    return table.rename_columns([name.strip() for name in table.column_names])


def _role_columns(names: list[str], path: Path, options: SourceOptions) -> list[str]:
    roles = find_roles(pa.schema([(n.strip(), pa.string()) for n in names]), options.columns or {}, f"csv:{path}")
    return [name for name in names if name.strip() in (roles.image, SPLIT, *roles.surveyed)]
