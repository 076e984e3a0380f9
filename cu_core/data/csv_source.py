"""CSV files of image paths with labels or captions as a source."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from cu_core.data.column_roles import find_roles
from cu_core.data.image_column import MEGABYTE
from cu_core.data.source_files import files_of
from cu_core.data.sources import CHUNK_ROWS, Source, SourceOptions
from cu_core.data.split_column import by_split_column, split_column
from cu_core.data.split_names import split_of_path
from cu_core.data.table_file import Columns, TableFile
from cu_core.data.table_source import TableSource
from cu_core.errors import DataError

SEPARATORS = ",;\t|"
ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""By the first bytes of the file."""
PADDED = r"^[-+]?0[0-9]|^[0-9]{20}"
"""Whole numbers that lose digits as numbers: zip codes, long ids."""


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
    files = [_file(path, path.relative_to(root), options, notes) for path in paths]
    files = by_split_column(files, options, f"csv:{argument}")
    table = TableSource(f"csv:{argument}", files, options, Path(options.image_root or root))
    return table.source(Path(argument).stem, notes)


def _file(path: Path, relative: Path, options: SourceOptions, notes: dict[str, int]) -> TableFile:
    table = read_table(path, options, notes)
    return TableFile(str(relative), split_of_path(relative), table.num_rows, table.schema, _reads(table))


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
        names = pa.csv.read_csv(pa.BufferReader(header.encode() + b"\n"), parse_options=parse).column_names
        roles = _role_columns(names, path, options)
        content = pa.py_buffer(text.encode())
        table = _texts_kept(content, parse, _parsed(content, parse, roles), roles, notes)
    except pa.ArrowException as error:
        raise DataError(f"{path} is not a table separated by {separator!r}: {str(error).splitlines()[0]}.") from error
    notes[f"rows of {path.name}, columns separated by {separator!r}, {encoding}"] = table.num_rows
    return table.rename_columns([name.strip() for name in table.column_names])


def _parsed(
    content: pa.Buffer, parse: pyarrow.csv.ParseOptions, texts: Sequence[str], only: Sequence[str] = ()
) -> pa.Table:
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()), include_columns=list(only))
    return pa.csv.read_csv(pa.BufferReader(content), parse_options=parse, convert_options=convert)


def _texts_kept(
    content: pa.Buffer, parse: pyarrow.csv.ParseOptions, table: pa.Table, roles: Sequence[str], notes: dict[str, int]
) -> pa.Table:
    """Keep numbers as texts where they would lose digits; an empty cell of texts is no value."""
    further = [field for field in table.schema if field.name not in roles]
    numbers = [f.name for f in further if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
    written = _parsed(content, parse, numbers, numbers) if numbers else pa.table({})
    for name in numbers:
        if pc.any(pc.match_substring_regex(written[name], PADDED)).as_py():
            table = table.set_column(table.column_names.index(name), name, written[name])
            notes[f"kept as texts, column {name.strip()!r}, whose numbers would lose digits"] = 1
    for place, field in enumerate(table.schema):
        if field.name not in roles and pa.types.is_string(field.type):
            filled = pc.if_else(pc.equal(table[field.name], ""), None, table[field.name])
            table = table.set_column(place, field.name, filled)
    return table


def _role_columns(names: list[str], path: Path, options: SourceOptions) -> list[str]:
    schema = pa.schema([(n.strip(), pa.string()) for n in names])
    if len(names) == 1:
        raise DataError(
            f"csv:{path} has no column beside {names[0]!r}: its first line holds none of the separators , ; tab |, "
            f"and an image needs a label or caption; save it with one of them."
        )
    roles = find_roles(schema, options.columns or {}, f"csv:{path}")
    split = split_column([name.strip() for name in names], options)
    return [name for name in names if name.strip() in (roles.image, split, *roles.surveyed)]
