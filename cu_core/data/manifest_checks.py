"""A manifest is checked whole when it is read: against bounds, against itself, and against the files beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cu_core.errors import DataError

if TYPE_CHECKING:
    from cu_core.data.schema import Manifest, ShardInfo

MAX_CLASSES = 1_000_000
MAX_ROWS = 10**12
"""Of a data set."""
MAX_SIDE = 65_536
"""Pixels of an image's side."""
MAX_IMAGE_VALUES = 2**28
"""Channels times height times width."""
REGISTERED = "arrow:"
"""Beginning of the source of shards that lie elsewhere."""
_INT64 = range(-(2**63), 2**63)


def check_manifest(manifest: Manifest, path: Path) -> None:
    """Check a manifest.

    Args:
        manifest: The manifest as it was parsed.
        path: Its file, for the shards beside it and for errors.

    Raises:
        DataError: It asks for something impossible, or a shard's path leaves its folder.
    """
    for problem in _problems(manifest, path.parent):
        raise DataError(f"{path} cannot be used: {problem}; pack the data again.")


def _problems(manifest: Manifest, folder: Path) -> Iterator[str]:
    yield from _columns(manifest)
    yield from _images(manifest)
    if not 1 <= manifest.num_classes <= MAX_CLASSES:
        yield f"{manifest.num_classes} classes; there must be 1 to {MAX_CLASSES}"
    if len(manifest.label_values) not in (0, manifest.num_classes):
        yield f"label_values has {len(manifest.label_values)} values for {manifest.num_classes} classes"
    if len({shard.path for shard in manifest.shards}) < len(manifest.shards):
        yield "a shard is named more than once"
    for shard in manifest.shards:
        for problem in _shard(shard, manifest, folder):
            yield f"shard {shard.path!r}: {problem}"
    if any(value not in _INT64 for value in manifest.label_values):
        yield "label_values must be whole numbers of 64 bits"
    for name in (name for step in manifest.dropped for name in step.files):
        if "/" in name or [*_path(name, "")]:
            yield f"the dropped file {name!r} must be a plain name in the folder of the manifest"
    total = sum(shard.rows for shard in manifest.shards)
    if total > MAX_ROWS:
        yield f"{total} rows; at most {MAX_ROWS} are possible"
    if not any(shard.rows for shard in manifest.shards if shard.split == "train"):
        yield "it has no training rows"


def _columns(manifest: Manifest) -> Iterator[str]:
    roles = [manifest.column(role) for role in ("sample_id", "image", "label")]
    if len(set(roles)) < len(roles):
        yield f"columns gives two roles to one column: {', '.join(map(repr, roles))}"
    if unknown := set(manifest.columns) - {"sample_id", "image", "label", "caption", "own_id"}:
        yield f"columns names the unknown role {sorted(unknown)[0]!r}"
    extra = manifest.extra_columns
    if len(set(extra)) < len(extra):
        yield "extra_columns names a column twice"
    if (own := manifest.columns.get("own_id")) is not None and own not in extra:
        yield f"the column of own ids {own!r} is none of the extra_columns"


def shape_problem(shape: tuple[int, ...]) -> str:
    """Return what is wrong with the shape of images; empty if nothing is."""
    if min(shape) < 1 or max(shape) > MAX_SIDE or shape[0] > 16 or math.prod(shape) > MAX_IMAGE_VALUES:
        return f"image_shape {shape} must be (channels 1 to 16, height, width), sides 1 to {MAX_SIDE}"
    return ""


def _images(manifest: Manifest) -> Iterator[str]:
    shape = manifest.image_shape
    if (manifest.image_kind == "tensor") != (shape is not None):
        yield f"images of kind {manifest.image_kind!r} with image_shape {shape}"
    if shape is not None and (problem := shape_problem(shape)):
        yield problem
    mean, std = manifest.pixel_mean, manifest.pixel_std
    if not mean or len(mean) != len(std) or (shape is not None and len(mean) != shape[0]):
        yield f"pixel_mean and pixel_std must have one value a channel, have {len(mean)} and {len(std)}"
    if not all(math.isfinite(v) for v in (*mean, *std)) or min(std, default=1.0) <= 0:
        yield "pixel_mean and pixel_std must be finite, pixel_std above 0"


def _shard(shard: ShardInfo, manifest: Manifest, folder: Path) -> Iterator[str]:
    yield from _path(shard.path, manifest.source)
    if not re.fullmatch(r"[0-9a-f]{64}", shard.sha256):
        yield "sha256 must have 64 hex digits"
    if shard.bytes < 0 or min(shard.batch_rows, default=0) < 0:
        yield f"bytes and batch_rows must be at least 0, are {shard.bytes} and {min(shard.batch_rows, default=0)}"
    for name, (low, high) in shard.ranges.items():
        whole = isinstance(low, int) and isinstance(high, int) and (low not in _INT64 or high not in _INT64)
        if whole or not low <= high:  # type: ignore[operator]
            yield f"the range of column {name!r} must be two values of 64 bits, the smaller first, is {low} to {high}"
    if shard.rows > MAX_ROWS:
        yield f"more than {MAX_ROWS} rows"
    file = folder / shard.path
    if file.is_file() and shard.rows > file.stat().st_size:  # a row takes more than a byte
        yield f"{shard.rows} rows in a file of {file.stat().st_size} bytes"


def _path(text: str, source: str) -> Iterator[str]:
    path = PurePosixPath(text)
    if not text or not text.isprintable() or ".." in path.parts or "\\" in text:
        yield "its path must be a plain name in the folder of the manifest"
        return
    if path.is_absolute() and not source.startswith(REGISTERED):
        yield f"its path is absolute; only data that was registered ({REGISTERED}DIR) lies elsewhere"
