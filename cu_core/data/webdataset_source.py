"""Tar files of image samples (WebDataset, img2dataset) as a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from cu_core.data.json_columns import JsonColumns
from cu_core.data.row_problems import SHOWN
from cu_core.data.schema import CAPTION, Split
from cu_core.data.source_files import files_of, parse_json
from cu_core.data.sources import IMAGE_SUFFIXES, Source, SourceOptions
from cu_core.data.split_column import by_split_column
from cu_core.data.split_names import split_of_path
from cu_core.data.table_file import Columns, TableFile
from cu_core.data.table_source import TableSource
from cu_core.data.tar_members import SUFFIXES, Member, content, is_compressed, lies_apart, members, opened
from cu_core.errors import DataError

READ = ("txt", "cls", "json")
"""Members that are read beside the image."""
NEITHER = "has no caption (.txt, or caption in .json) and no label (.cls, or --column label=KEY of .json)"
ROWS_AT_ONCE = 512
BYTES_AT_ONCE = 64 * 2**20


def webdataset(argument: str, options: SourceOptions) -> Source:
    """``DIR/**/*.tar``, gzipped or not: samples ``KEY.jpg`` with ``KEY.txt``, ``KEY.cls`` and ``KEY.json``.

    The key is the name up to the first dot of its last part. ``.txt`` is the caption, ``.cls`` the label, and each key
    of ``.json`` a column (``caption`` in it is the caption where there is no ``.txt``). The split is ``split``
    in the ``.json``, else that in the name of the tar, else of the nearest folder.

    Raises:
        DataError: There is no tar file, or a file or sample cannot be used; all such samples are counted.
    """
    notes: dict[str, int] = {}
    root, paths = files_of("webdataset", argument, SUFFIXES, notes)
    found = _Found(options)
    tars = [_index(path, path.relative_to(root), found) for path in paths]
    found.refuse(f"webdataset:{argument}")
    schema = found.schema(notes)
    files = [TableFile(str(t.relative), t.split, len(t.samples), schema, _reads(t, found, schema)) for t in tars]
    files = by_split_column(files, options, f"webdataset:{argument}")
    given = {role: name for role, name in (options.columns or {}).items() if role != "image"}
    table = TableSource(f"webdataset:{argument}", files, replace(options, columns=given), root, id_from="key")
    return table.source(root.resolve().name, notes)


@dataclass(frozen=True)
class _Tar:
    path: Path
    relative: Path
    split: Split | None
    samples: Mapping[str, list[Member]]


@dataclass
class _Found:
    """What the samples of all tars have."""

    options: SourceOptions
    kinds: Counter[str] = field(default_factory=Counter)
    metadata: JsonColumns = field(default_factory=JsonColumns)
    hidden: int = 0
    captions: int = 0
    no_caption: list[str] = field(default_factory=list)
    no_label: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def refuse(self, place: str) -> None:
        """Refuse samples that cannot be used, all at once."""
        if self.kinds["cls"]:
            self.problems += self.no_label
        elif not self.options.skip_empty_captions and not (self.options.columns or {}).keys() & {"label", CAPTION}:
            self.problems += self.no_caption
        if self.problems:
            more = f" and {len(self.problems) - SHOWN} more" if len(self.problems) > SHOWN else ""
            raise DataError(f"{place}: {'; '.join(self.problems[:SHOWN])}{more}. Nothing was written.")

    def schema(self, notes: dict[str, int]) -> pa.Schema:
        """Return the columns, and add to the notes what is not read."""
        columns = {"key": pa.string(), "image": pa.binary()}
        columns |= {CAPTION: pa.list_(pa.string())} if self.captions else {}
        columns |= {"label": pa.string()} if self.kinds["cls"] else {}
        self.metadata.settle(tuple(columns), notes)
        if self.hidden:
            notes["left out, hidden members of tars"] = self.hidden
        others = [k for k in self.kinds if k not in READ and not is_image(k)]
        if others:
            notes[f"left out, members that are not read (.{', .'.join(others[:SHOWN])})"] = sum(
                self.kinds[k] for k in others
            )
        return pa.schema([*columns.items(), *self.metadata.types.items()])


def is_image(kind: str) -> bool:
    """Return whether a member of this kind is an image."""
    return f".{kind.rpartition('.')[2]}" in IMAGE_SUFFIXES


def _index(path: Path, relative: Path, found: _Found) -> _Tar:
    """Find the samples of a tar, and read all but their images."""
    with opened(path, found.options.max_file_mb) as tar:
        samples, hidden = members(tar, path, found.options.max_file_mb)
        found.hidden += hidden
        if is_compressed(path) and (key := lies_apart(samples)):
            raise DataError(
                f"{path}: the members of {key!r} do not lie together, which is slow to read from a compressed file; "
                f"decompress it with gunzip."
            )
        for key, parts in samples.items():
            place = f"{path}: {key}"
            found.kinds.update(part.kind for part in parts)
            if problem := _image_problem(parts, (found.options.columns or {}).get("image")):
                found.problems.append(f"{place} {problem}")
            try:
                texts = _texts(tar, parts, place)
            except DataError as error:
                found.problems.append(str(error).rstrip("."))
                continue
            found.metadata.see(texts.metadata)
            found.captions += any(text.strip() for text in texts.captions)
            if not any(text.strip() for text in texts.captions):
                found.no_caption.append(f"{place} {NEITHER}")
            if not texts.label:
                found.no_label.append(f"{place} has no label: no .cls")
    return _Tar(path, relative, split_of_path(relative), samples)


def _image_problem(parts: list[Member], chosen: str | None) -> str:
    images = [part.kind for part in parts if is_image(part.kind) and chosen in (None, part.kind)]
    if len(images) == 1:
        return ""
    if images:
        return f"has several images: .{', .'.join(images)}; choose one with --column image={images[0]}"
    kinds = ", ".join(part.kind for part in parts)
    return f"has no image ({', '.join(sorted(IMAGE_SUFFIXES))}), only {kinds}"


@dataclass(frozen=True)
class _Texts:
    captions: list[str]
    label: str | None
    metadata: Mapping[str, Any]


def _texts(tar: Any, parts: list[Member], place: str) -> _Texts:
    """Read text, label and metadata of a sample."""
    raw = {part.kind: content(tar, part) for part in parts if part.kind in READ}
    metadata = parse_json(raw["json"], f"{place}.json does not read: it") if raw.get("json", b"").strip() else {}
    if not isinstance(metadata, dict):
        raise DataError(f"{place}.json must hold an object of names and values, not {type(metadata).__name__}.")
    try:
        text, label = (raw[kind].decode("utf-8-sig").strip() if kind in raw else None for kind in ("txt", "cls"))
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: its text does not read: {error}.") from error
    told = metadata.pop(CAPTION, None)
    captions = [text] if text is not None else told if isinstance(told, list) else [told]
    if not all(isinstance(caption, str | None) for caption in captions):
        raise DataError(f"{place}.json: the caption must be text or a list of texts.")
    return _Texts([caption.strip() for caption in captions if caption is not None], label, metadata)


def _reads(tar: _Tar, found: _Found, schema: pa.Schema) -> Callable[[Columns], Iterator[pa.RecordBatch]]:
    def read(columns: Columns) -> Iterator[pa.RecordBatch]:
        wanted = schema.names if columns is None else list(columns)
        kept = pa.schema([schema.field(name) for name in wanted])
        rows: list[dict[str, Any]] = []
        size = 0
        with opened(tar.path, found.options.max_file_mb) as file:
            for key, parts in tar.samples.items():
                row = _row(file, f"{tar.path}: {key}", parts, found, "image" in wanted)
                rows.append({"key": f"{tar.relative.as_posix()}/{key}", **row})
                size += len(row["image"])
                if len(rows) == ROWS_AT_ONCE or size > BYTES_AT_ONCE:
                    yield pa.RecordBatch.from_pylist(rows, kept)
                    rows, size = [], 0
        if rows:
            yield pa.RecordBatch.from_pylist(rows, kept)

    return read


def _row(tar: Any, place: str, parts: list[Member], found: _Found, with_image: bool) -> dict[str, Any]:
    chosen = (found.options.columns or {}).get("image")
    texts = _texts(tar, parts, place)
    image = next(part for part in parts if is_image(part.kind) and chosen in (None, part.kind))
    data = content(tar, image) if with_image else b""
    label = texts.label or None
    return {"image": data, CAPTION: texts.captions, "label": label, **found.metadata.values(texts.metadata)}
