"""Captions in JSON as a source: the format of COCO, and that of Karpathy's splits (COCO, Flickr8k, Flickr30k)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cu_core.data.row_problems import RowProblems
from cu_core.data.schema import CAPTION, Split
from cu_core.data.source_files import read_json
from cu_core.data.sources import Source, SourceOptions
from cu_core.data.split_names import split_in_name
from cu_core.data.table_file import Columns, TableFile
from cu_core.data.table_source import TableSource
from cu_core.errors import DataError

ROWS_AT_ONCE = 512
TEXTS = pa.list_(pa.string())
REST = "restval"
"""Karpathy's name for the images of COCO's val that are used for training."""


@dataclass(frozen=True)
class _Image:
    file: str
    sample_id: str | None
    captions: list[str | None]
    split: Split | None


def coco(argument: str, options: SourceOptions) -> Source:
    """``CAPTIONS.json:IMAGES``: captions in the format of COCO (Chen et al. 2015) or of Karpathy and Fei-Fei (2015).

    COCO: ``images`` (id, file_name) and ``annotations`` (image_id, caption), several captions for each image; the
    ``split`` of an image, else the name of the file, names the split (``captions_val2017.json``). Karpathy: ``images``
    with ``sentences`` (raw) and ``split`` each; ``restval`` is training data.

    Raises:
        DataError: The file or folder does not exist, or the captions are not usable; all that is wrong is named.
    """
    file, _, folder = argument.partition(":")
    if "\0" in argument or not Path(file).is_file() or not Path(folder or "?").is_dir():
        raise DataError(f"coco:{argument} must be coco:CAPTIONS.json:IMAGE_FOLDER, both there.")
    content = read_json(Path(file), options.max_file_mb)
    problems = RowProblems(f"coco:{file}")
    entries = _list(content, "images", file)
    if not entries:
        raise DataError(f"{file} names no image.")
    if any(isinstance(entry, dict) and "sentences" in entry for entry in entries):
        images = _karpathy(entries, problems)
    else:
        images = _coco(entries, _list(content, "annotations", file), Path(file), problems)
    problems.refuse()
    files = _files(images, Path(file).name)
    columns = {"image": "file"} | ({"sample_id": "id"} if "id" in files[0].schema.names else {})
    table = TableSource(f"coco:{file}", files, replace(options, columns=columns), Path(folder), id_from="file")
    return table.source(Path(file).stem)


def _list(content: Any, key: str, file: str) -> list[Any]:
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise DataError(
            f"{file} is no captions file: it must hold images (id, file_name) and annotations (image_id, caption), or "
            f"images (filename, split, sentences): no list {key!r}."
        )
    return found


def _id(value: Any) -> str | None:
    """Return an id as text: of text or a whole number, else ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    return str(value) or None


def _coco(entries: list[Any], annotations: list[Any], file: Path, problems: RowProblems) -> list[_Image]:
    names: dict[str, str] = {}
    captions: dict[str, list[str | None]] = {}
    splits: dict[str, Split | None] = {}
    of_file = split_in_name(file.name.partition(".")[0])
    for number, entry in enumerate(entries):
        key = _id(entry.get("id")) if isinstance(entry, dict) else None
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if key is None or not isinstance(name, str):
            problems.add("images have no id (text or whole number) and file_name (text)", f"images[{number}]")
        elif key in names:
            problems.add("image ids occur more than once", f"{key!r} of images[{number}]")
        else:
            names[key], captions[key] = name, []
            told = entry.get("split") is not None
            splits[key] = _split(entry, f"images[{number}]", problems) if told else of_file
    for number, entry in enumerate(annotations):
        key = _id(entry.get("image_id")) if isinstance(entry, dict) else None
        caption = entry.get("caption") if isinstance(entry, dict) else 0
        if key is None or not isinstance(caption, str | None):
            problems.add("annotations have no image_id and caption", f"annotations[{number}]")
        elif key not in names:
            problems.add("annotations name no image", f"annotations[{number}] (image_id {key!r})")
        else:
            captions[key].append(caption)
    return [_Image(name, key, captions[key], splits[key]) for key, name in names.items()]


def _split(entry: Mapping[str, Any], place: str, problems: RowProblems) -> Split | None:
    """Return the split that an image names."""
    split: Split | None = "train" if entry.get("split") == REST else split_in_name(str(entry.get("split")))
    if split is None:
        problems.add("images have a split that is none of train, restval, val, test", place)
    return split


def _karpathy(entries: list[Any], problems: RowProblems) -> list[_Image]:
    key = next((k for k in ("cocoid", "imgid") if all(isinstance(e, dict) and k in e for e in entries)), None)
    images, seen = [], set[str]()
    for number, entry in enumerate(entries):
        place = f"images[{number}]"
        sentences = entry.get("sentences") if isinstance(entry, dict) else None
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not isinstance(sentences, list):
            problems.add("images have no filename (text) and sentences (list)", place)
            continue
        raw: list[Any] = [s.get("raw") if isinstance(s, dict) else 0 for s in sentences]
        own = _id(entry[key]) if key else None
        if not all(isinstance(text, str | None) for text in raw):
            problems.add("images have sentences without raw text", place)
        split = _split(entry, place, problems)
        if key and (own is None or own in seen):
            problems.add(f"images have a {key} that is no id or occurs more than once", place)
        seen.add(own or "")
        folder = entry.get("filepath")
        images.append(_Image(f"{folder}/{name}" if isinstance(folder, str) and folder else name, own, raw, split))
    return images


def _files(images: Sequence[_Image], name: str) -> list[TableFile]:
    """Make a table of each split; the rows are in the order of the file."""
    has_ids = all(image.sample_id is not None for image in images)
    files = []
    for split in dict.fromkeys(image.split for image in images):
        numbers = [number for number, image in enumerate(images) if image.split == split]
        rows = [images[number] for number in numbers]
        columns: Mapping[str, pa.Array] = {
            "file": pa.array([image.file for image in rows], pa.string()),
            CAPTION: pa.array([[t.strip() if t else t for t in image.captions] for image in rows], TEXTS),
        }
        ids = {"id": pa.array([image.sample_id for image in rows], pa.string())} if has_ids else {}
        table = pa.table({**columns, **ids})
        files.append(TableFile(name, split, len(rows), table.schema, _reads(table), np.array(numbers)))
    return files


def _reads(table: pa.Table) -> Callable[[Columns], Iterator[pa.RecordBatch]]:
    def read(columns: Columns) -> Iterator[pa.RecordBatch]:
        part = table if columns is None else table.select(list(columns))
        yield from part.combine_chunks().to_batches(max_chunksize=ROWS_AT_ONCE)

    return read
