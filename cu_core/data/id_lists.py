"""Lists of ids that a user brings: text, CSV, JSON lines, Parquet or Arrow, told apart by content and read by Arrow.

The ids come as they stand there, as text or whole numbers; ``as_stored`` converts them to the type of the data's id
column, by value: ``7`` and ``"7"`` and ``007`` are the number 7, but of a column of texts each is another text.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from cu_core.errors import UserError
from cu_core.messages import reason_of, shown_some, shown_value
from cu_core.text_file import decoded

LARGEST_BYTES = 2**28
"""Largest file: some 13 million ids."""
DELIMITERS = ",;\t"
WHOLE = r"^-?[0-9]{1,19}$"
THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(,[0-9]{3})*,0[0-9]{2}(,[0-9]{3})*")
"""Numbers that are written with commas: the second id of ``1,000`` would be 0."""


def read_ids(path: Path, columns: Sequence[str], notes: list[str]) -> pa.ChunkedArray:
    """Read the ids of a file.

    Args:
        path: The file; its suffix does not matter.
        columns: Names of the column with the ids, the first that is there counts. A text without such a header is a
            list of ids: of whole numbers, separated by ends of lines, commas, semicolons, tabs or spaces, or of texts,
            each a line. Lines of numbers and headers that begin with ``#`` are comments; among texts those that begin
            with ``#`` and a space.
        notes: Where comments are counted.

    Returns:
        The ids, texts or whole numbers, in their order.

    Raises:
        UserError: The file does not exist, cannot be read, or has no such column or an empty cell.
    """
    if path.is_dir():
        raise UserError(f"request.path: {path} is a folder; name the file of the list.")
    if not path.is_file():
        raise UserError(f"request.path: no file {path}.")
    if (size := path.stat().st_size) > LARGEST_BYTES:
        raise UserError(f"request.path: {path} has {size} bytes; a list of ids has at most {LARGEST_BYTES}.")
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PAR1":
                return _column(pq.ParquetFile(path), columns, path)
        if is_arrow(path):
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            return _whole(table[_named(table.column_names, columns, path)], path)
        text = decoded(path.read_bytes(), str(path))
        if text.lstrip().startswith("{"):
            return _json_lines(text, columns, path)
        return _from_text(text, columns, path, notes)
    except (pa.ArrowException, OSError, UnicodeEncodeError, csv.Error) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"request.path: {path} cannot be read: {reason}.") from error


def is_arrow(path: Path) -> bool:
    """Return whether a file is an Arrow IPC file, such as the forget set of a run."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(6) == b"ARROW1"


def _named(present: Sequence[str], wanted: Sequence[str], path: Path) -> str:
    folded = [name.casefold() for name in present]
    found = [present[folded.index(n.casefold())] for n in wanted if folded.count(n.casefold()) == 1]
    if not found:
        raise UserError(
            f"request.path: {path} has no column {' or '.join(wanted)}; columns there: {shown_some(present)}. "
            f"Name the column of the ids with request.column."
        )
    return found[0]


def _column(file: pq.ParquetFile, columns: Sequence[str], path: Path) -> pa.ChunkedArray:
    name = _named(file.schema_arrow.names, columns, path)
    return _whole(file.read(columns=[name])[name], path)


def _whole(ids: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    """Return the ids as texts or whole numbers.

    Raises:
        UserError: An id is absent, or they are of another type.
    """
    kind = ids.type
    if pa.types.is_dictionary(kind):
        return _whole(ids.cast(kind.value_type), path)
    if isinstance(kind, pa.UuidType):
        ids, kind = (
            pa.chunked_array([[None if v is None else str(v) for v in ids.to_pylist()]], pa.string()),
            pa.string(),
        )
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise UserError(f"request.path: {path}: ids must be texts or whole numbers, the column holds {kind}.")
    if ids.null_count:
        row = pc.index(pc.is_null(ids), True).as_py()
        raise UserError(f"request.path: {path}: {ids.null_count} ids are absent, the first in row {row}.")
    return ids if pa.types.is_integer(kind) else ids.cast(pa.string())


def _json_lines(text: str, columns: Sequence[str], path: Path) -> pa.ChunkedArray:
    """Read a record a line. Python's reader survives records that are nested so deep that Arrow's crashes."""
    found = list[int | str]()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0][:100]
            raise UserError(f"request.path: {path}, line {number}: no JSON record: {reason}.") from error
        names = list(row) if isinstance(row, dict) else []
        value = row[_named(names, columns, path)]
        if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
            must = f"an id must be a text or a whole number, got {shown_value(value)}"
            raise UserError(f"request.path: {path}, line {number}: {must}.")
        found.append(value)
    return pa.chunked_array([pa.array(map(str, found), pa.string())])


def _json_list(text: str) -> list[int | str]:
    """Return the ids of a JSON list of texts or whole numbers; empty if the text is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # a line in brackets
        return []
    plain = isinstance(found, list) and all(isinstance(v, int | str) and not isinstance(v, bool) for v in found)
    return found if plain else []


def _from_text(text: str, columns: Sequence[str], path: Path, notes: list[str]) -> pa.ChunkedArray:
    lines = [line for line in (line.strip(" \ufeff") for line in text.split("\n")) if line.strip()]
    used = [line for line in lines if not line.startswith("#")]
    if used and used[0].startswith("[") and (listed := _json_list("\n".join(used))):
        return _ids(map(str, listed), path)
    head = used[0] if used else ""
    delimiter = next((sign for sign in DELIMITERS if sign in head), ",")
    heads = [cell.strip(' "') for cell in _split(head, delimiter)]
    if {name.casefold() for name in columns} & {name.casefold() for name in heads}:
        name = _named(heads, columns, path)
        table = lines[lines.index(head) :]  # with rows that begin with #: it is no comment there
        _tell_comments(len(lines) - len(table), path, notes)
        if len(table) == 1:
            raise UserError(f"request.path: {path} holds no id, only the header.")
        return _cells(_csv(table, delimiter, heads, 1)[name], path)
    if len(used) > 1 and len(heads) > 1 and not any(re.match(WHOLE, cell) for cell in heads):
        _named(heads, columns, path)  # a table whose header names other columns
    numbers = _numbers(used, path)
    kept = used if numbers else [line for line in lines if not re.match(r"#(\s|$)", line)]
    if not kept:
        raise UserError(f"request.path: {path} holds no id.")
    _tell_comments(len(lines) - len(kept), path, notes)
    return _ids(numbers or [cell for line in kept for cell in _texts(line, len(kept) == 1)], path)


def _tell_comments(count: int, path: Path, notes: list[str]) -> None:
    if count:
        notes.append(f"{count} lines of {path.name} begin with # and are comments")


def _numbers(lines: Sequence[str], path: Path) -> list[str]:
    """Return the cells of lines that hold nothing but whole numbers; empty if there is anything else."""
    cells = [part.strip('"') for line in lines for cell in re.split(rf"[{DELIMITERS}]", _bare(line))
             for part in (cell.split() or [""])]  # fmt: skip
    if not all(not cell or re.match(WHOLE, cell) for cell in cells):
        return []
    if wrong := next((line for line in lines if THOUSANDS.fullmatch(line)), None):
        raise UserError(
            f"request.path: {path}: {wrong} may be one number or several ids; write numbers without commas, an id a "
            f"line."
        )
    return cells


def _texts(line: str, alone: bool) -> list[str]:
    """Return the ids of a line: what is in quotes, else the whole of it; of a single line the cells."""
    bare = _bare(line)
    delimiter = next((sign for sign in DELIMITERS if sign in bare), ",")
    if '"' in bare:
        return _split(bare, delimiter)
    return bare.split(delimiter) if alone else [bare]


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))


def _bare(line: str) -> str:
    """Return a line without the brackets of a list and without a delimiter at its end."""
    line = line[1:-1] if line.startswith("[") and line.endswith("]") else line
    return line.rstrip(DELIMITERS + " ") if line.strip(DELIMITERS + " ") else line


def _ids(texts: Iterable[str], path: Path) -> pa.ChunkedArray:
    return _cells(pa.chunked_array([pa.array(texts, pa.string())]), path)


def _csv(lines: Sequence[str], delimiter: str, names: Sequence[str], skipped: int) -> pa.Table:
    """Read lines as a table of texts."""
    return pyarrow.csv.read_csv(
        io.BytesIO("\n".join(lines).encode()),
        pyarrow.csv.ReadOptions(column_names=list(names), skip_rows=skipped),
        pyarrow.csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
        pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )


def _cells(ids: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    ids = pc.utf8_trim_whitespace(ids)
    if (empty := pc.sum(pc.equal(ids, "")).as_py() or 0) > 0:
        raise UserError(f"request.path: {path}: {empty} cells are empty where an id must stand.")
    return ids


def as_stored(ids: pa.ChunkedArray, kind: pa.DataType, source: str) -> pa.ChunkedArray:
    """Convert ids to the type of the data's id column, by value.

    Args:
        ids: Texts or whole numbers.
        kind: Type of the column: whole numbers or text.
        source: Name of the list, for errors.

    Returns:
        The ids, int64 or text.

    Raises:
        UserError: The data's ids are whole numbers and one of these is none; the message shows them.
    """
    if not pa.types.is_integer(kind):
        return ids.cast(pa.string())
    texts = pa.types.is_string(ids.type)
    wrong = ids.filter(pc.invert(pc.match_substring_regex(ids, WHOLE))) if texts else ids.slice(0, 0)
    if not len(wrong):
        try:
            return ids.cast(pa.int64())
        except pa.ArrowInvalid as error:  # beyond 64 bits
            raise UserError(f"{source}: ids must be whole numbers of 64 bits: {reason_of(error)}.") from error
    shown = f"{shown_some(wrong.unique().to_pylist())} (a header is called sample_id, or named by request.column)"
    must = "the ids of this data are whole numbers of 64 bits"
    raise UserError(f"{source}: {must}, {len(wrong)} of {len(ids)} in the list are none: {shown}.")


def is_in(column: str, kind: pa.DataType, ids: pa.ChunkedArray) -> pc.Expression:
    """Return the expression of the rows whose id is in a list that ``as_stored`` converted."""
    field = pc.field(column)
    wide = field if kind in (pa.int64(), pa.string()) else field.cast(ids.type)
    return wide.isin(ids.unique())


def repeated(ids: pa.ChunkedArray) -> int:
    """Return how many ids of a list stand there before."""
    return len(ids) - int(pc.count_distinct(ids).as_py())
