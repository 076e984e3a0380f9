"""Image-text pairs: where they come from, and captions made of class names."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from cu_core.data.order import hash64
from cu_core.data.schema import CAPTION, Split
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import IMAGE_SUFFIXES, PAIRS, Source, SourceOptions, split_of
from cu_core.errors import DataError
from cu_core.salts import Salt

ROWS_AT_ONCE = 512


def captioned(source: Source, templates: Sequence[str]) -> Source:
    """Return the source with a caption made from a template for each row.

    The template is drawn by the sample_id. ``{class}`` is replaced by the row's class name and ``{id}`` by its
    sample_id (which gives each row a caption of its own, which a model can only memorise).

    Args:
        source: A source with classes.
        templates: Captions that contain ``{class}``.

    Returns:
        The source with captions.

    Raises:
        DataError: A template lacks ``{class}``, or the source has no classes.
    """
    if source.class_names == PAIRS:
        raise DataError("--caption makes captions of class names; this source has captions and no classes.")
    for template in templates:
        if "{class}" not in template:
            raise DataError(f"--caption {template!r} must hold {{class}}, the place of the class name.")

    def read() -> Iterator[Chunk]:
        for chunk in source.read():
            drawn = (hash64(chunk.sample_ids, Salt.CAPTION) % np.uint64(len(templates))).astype(int)
            names = [source.class_names[label] for label in chunk.labels]
            rows = zip(drawn, names, chunk.sample_ids, strict=True)
            texts = [[templates[d].replace("{class}", n).replace("{id}", str(i))] for d, n, i in rows]
            column = pa.array(texts, pa.list_(pa.string()))
            extra = chunk.extra.append_column(CAPTION, column) if chunk.extra else pa.table({CAPTION: column})
            yield replace(chunk, extra=extra)

    return replace(source, read=read)


def _pairs(split: Split, rows: Sequence[tuple[int, bytes, list[str], str]]) -> Chunk:
    """Build a chunk from rows (sample_id, image file, captions, metadata)."""
    ids, images, captions, metadata = zip(*rows, strict=True)
    extra = pa.table({CAPTION: pa.array(captions, pa.list_(pa.string())), "metadata": pa.array(metadata, pa.string())})
    return Chunk(split, list(images), np.zeros(len(rows), np.int64), np.array(ids, np.int64), extra)


def _in_parts(split: Split, rows: Iterator[tuple[int, bytes, list[str], str]]) -> Iterator[Chunk]:
    pending = []
    for row in rows:
        pending.append(row)
        if len(pending) == ROWS_AT_ONCE:
            yield _pairs(split, pending)
            pending = []
    if pending:
        yield _pairs(split, pending)


def webdataset(argument: str, options: SourceOptions) -> Source:
    """``DIR/*.tar`` as img2dataset writes them: ``KEY.jpg``, ``KEY.txt`` with the caption, ``KEY.json`` with metadata.

    File names that start with train, val or test name the split.

    Raises:
        DataError: There is no tar file, or one is damaged.
    """
    paths = sorted(Path(argument).glob("**/*.tar"))
    if not paths:
        raise DataError(f"webdataset:{argument}: no *.tar file there.")
    counts: dict[Split, int] = {}
    for path in paths:
        images = sum(Path(name).suffix.lower() in IMAGE_SUFFIXES for name, _ in _members(path, read=False))
        counts[split_of(path.name)] = counts.get(split_of(path.name), 0) + images

    def read() -> Iterator[Chunk]:
        for path in paths:
            yield from _in_parts(split_of(path.name), _samples(path))

    return Source(Path(argument).name, PAIRS, counts, read)


def _members(path: Path, read: bool = True) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of a tar's files without unpacking it to disk."""
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile():
                    file = tar.extractfile(member) if read else None
                    yield member.name, file.read() if file else b""
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}.") from error


def _samples(path: Path) -> Iterator[tuple[int, bytes, list[str], str]]:
    """Group adjacent files that share a name up to the first dot into samples."""
    key, parts = "", dict[str, bytes]()
    for name, content in _members(path):
        own, _, kind = name.partition(".")
        if own != key and parts:
            yield _sample(path, key, parts)
            parts = {}
        key = own
        parts[kind.lower()] = content
    if parts:
        yield _sample(path, key, parts)


def _sample(path: Path, key: str, parts: dict[str, bytes]) -> tuple[int, bytes, list[str], str]:
    image = next((v for k, v in parts.items() if f".{k}" in IMAGE_SUFFIXES), None)
    if image is None:
        raise DataError(f"{path}: {key} has no image ({', '.join(sorted(IMAGE_SUFFIXES))}), only {', '.join(parts)}.")
    try:
        metadata = parts.get("json", b"").decode()
        caption = parts["txt"].decode() if "txt" in parts else json.loads(metadata or "{}").get("caption")
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: text or json of {key} does not read: {error}.") from error
    if not caption or not caption.strip():
        raise DataError(f"{path}: {key} has no caption: neither {key}.txt nor caption in {key}.json.")
    number = int.from_bytes(hashlib.sha256(f"{path.name}/{key}".encode()).digest()[:8], "big") >> 1
    return number, image, [caption.strip()], metadata


def coco(argument: str, options: SourceOptions) -> Source:
    """``CAPTIONS.json:IMAGES``: captions in the format of COCO (Chen et al. 2015), several for each image.

    The file's name, e.g. captions_val2017.json, names the split.

    Raises:
        DataError: The file or folder does not exist, or the captions are not usable.
    """
    file, _, folder = argument.partition(":")
    if not Path(file).is_file() or not Path(folder or "?").is_dir():
        raise DataError(f"coco:{argument} must be coco:CAPTIONS.json:IMAGE_FOLDER, both there.")
    try:
        content = json.loads(Path(file).read_text())
        images = {int(i["id"]): str(i["file_name"]) for i in content["images"]}
        captions: dict[int, list[str]] = {number: [] for number in images}
        for annotation in content["annotations"]:
            captions[int(annotation["image_id"])].append(str(annotation["caption"]).strip())
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} is no captions file: images (id, file_name) and annotations (image_id, caption): {error!r}."
        ) from error
    if without := next((name for number, name in images.items() if not captions[number]), None):
        raise DataError(f"{file}: {without} has no caption.")
    split = split_of(Path(file).name.removeprefix("captions_"))
    root = Path(folder).resolve()

    def image(name: str) -> bytes:
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise DataError(f"{file} names {name}, which is not a file in {folder}.")
        return path.read_bytes()

    def read() -> Iterator[Chunk]:
        rows = ((number, image(name), captions[number], "") for number, name in sorted(images.items()))
        yield from _in_parts(split, rows)

    return Source(Path(file).stem, PAIRS, {split: len(images)}, read)
