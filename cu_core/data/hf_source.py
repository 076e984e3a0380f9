"""Data sets of the library ``datasets``: folders that it saved, and names on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from cu_core.data.source_files import read_json
from cu_core.data.sources import CHUNK_ROWS, Source, SourceOptions
from cu_core.data.split_column import by_split_column
from cu_core.data.split_names import split_in_name
from cu_core.data.table_file import Columns, TableFile
from cu_core.data.table_source import TableSource
from cu_core.errors import DataError


def hugging_face(argument: str, options: SourceOptions) -> Source:
    """``FOLDER`` of ``save_to_disk``, or ``NAME`` or ``NAME:CONFIG`` on the Hub (needs the library ``datasets``).

    Raises:
        DataError: There is no such data set, or it cannot be used.
    """
    folder = Path(argument)
    if not argument:
        raise DataError("hf: must name a folder of save_to_disk, or a data set on the Hub: hf:NAME or hf:NAME:CONFIG.")
    if folder.is_dir():
        files, name = saved_files(folder, options), folder.resolve().name
    else:
        files, name = hub_files(argument), argument.replace("/", "-").replace(":", "-")
        folder = Path.cwd()
    files = by_split_column(files, options, f"hf:{argument}")
    return TableSource(f"hf:{argument}", files, options, Path(options.image_root or folder)).source(name)


def saved_files(folder: Path, options: SourceOptions) -> list[TableFile]:
    """Return the Arrow files of a folder that ``save_to_disk`` wrote.

    Raises:
        DataError: The folder is no such folder, or a file is missing or damaged.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = _of(read_json(folder / "dataset_dict.json", options.max_file_mb), "splits", folder)
        return [file for name in splits for file in _saved_split(folder, str(name), options)]
    return _saved_split(folder, ".", options)


def _of(content: Any, key: str, folder: Path) -> list[Any]:
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise DataError(f"hf:{folder}: the library's JSON file has no list {key!r}; save the data set again.")
    return found


def _saved_split(folder: Path, name: str, options: SourceOptions) -> list[TableFile]:
    where = folder / name
    if not (where / "state.json").is_file():
        raise DataError(f"hf:{folder}: no state.json in {where}: not a folder of save_to_disk.")
    state = read_json(where / "state.json", options.max_file_mb)
    if isinstance(state, dict) and state.get("_indices_data_files"):
        raise DataError(f"hf:{folder}: {name} was saved as a selection of rows; call flatten_indices() and save again.")
    split = split_in_name(name) or split_in_name(str(state.get("_split") if isinstance(state, dict) else ""))
    files = []
    for entry in _of(state, "_data_files", folder):
        path = where / str(entry.get("filename") if isinstance(entry, dict) else entry)
        if "\0" in str(path) or not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise DataError(f"hf:{folder}: state.json names {path.name!r}, which is no file in the folder.")
        files.append(_stream_file(path, str(path.relative_to(folder)), split))
    return files


def _stream_file(path: Path, name: str, split: Any) -> TableFile:
    def read(columns: Columns) -> Iterator[pa.RecordBatch]:
        try:
            with pa.memory_map(str(path)) as mapped, pa.ipc.open_stream(mapped) as stream:
                for batch in stream:
                    batch.validate(full=True)
                    for start in range(0, batch.num_rows, CHUNK_ROWS):
                        part = batch.slice(start, CHUNK_ROWS)
                        yield part if columns is None else part.select(list(columns))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} is damaged: {str(error).splitlines()[0]}.") from error

    try:
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_stream(mapped) as stream:
            schema, rows = stream.schema, sum(batch.num_rows for batch in stream)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a whole Arrow file of `datasets`: {str(error).splitlines()[0]}.") from error
    return TableFile(name, split, rows, schema, read)


def hub_files(argument: str) -> list[TableFile]:
    """Fetch a data set with the library ``datasets``, and return its splits.

    Raises:
        DataError: The library is not installed, or the data set cannot be had.
    """
    try:
        import datasets  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError as error:
        raise DataError(
            f"hf:{argument} is no folder here; data sets of the Hub need the library datasets: pip install datasets."
        ) from error
    name, _, config = argument.partition(":")
    try:
        loaded = datasets.load_dataset(name, config or None)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:  # not found, no network, no such config
        raise DataError(f"hf:{argument} could not be fetched: {str(error).splitlines()[0]}") from error
    return [
        TableFile(str(split), split_in_name(str(split)), len(rows), rows.features.arrow_schema, _hub_reads(rows))
        for split, rows in loaded.items()
    ]


def _hub_reads(rows: Any) -> Callable[[Columns], Iterator[pa.RecordBatch]]:
    def read(columns: Columns) -> Iterator[pa.RecordBatch]:
        chosen = (
            rows.with_format("arrow") if columns is None else rows.select_columns(list(columns)).with_format("arrow")
        )
        for table in chosen.iter(CHUNK_ROWS):
            yield from table.combine_chunks().to_batches()

    return read
