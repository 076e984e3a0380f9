"""Small data sets of drawn images, some of them copies of others, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageEnhance, ImageOps

from cu_core.data.schema import Split
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import Chunk, write_shards
from tests.pictures import encoded

SIDE = 48


def drawing(number: int, side: int = SIDE) -> Image.Image:
    """A picture of its own for each number: boxes of random places and colours, smoothed."""
    rng = np.random.default_rng([7, number])
    field = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return Image.fromarray(field).resize((side, side), Image.Resampling.BICUBIC)


def changed(image: Image.Image) -> dict[str, bytes]:
    """Copies of an image: the kind that must find each one, and the file."""
    return {
        "exact": encoded(image, "bmp"),
        "near resized": encoded(image.resize((30, 30), Image.Resampling.BICUBIC), "png"),
        "near brightened": encoded(ImageEnhance.Brightness(image).enhance(1.2), "png"),
        "near jpeg": encoded(image, "jpeg", quality=50),
        "mirrored": encoded(ImageOps.mirror(image), "png"),
    }


def pack_files(
    out: Path,
    files: Mapping[Split, Sequence[bytes]],
    captions: Sequence[str] | None = None,
    shard_rows: int = 16,
    copy_of: Mapping[int, int] = {},
) -> ShardReader:
    """Pack image files; ids count from 0 over all splits, labels are those of the id, or of what it is a copy of."""

    def chunks() -> Iterator[Chunk]:
        first = 0
        for split, images in files.items():
            ids = np.arange(first, first + len(images))
            extra = pa.table({"caption": [captions[i] for i in ids]}) if captions else None
            labels = np.array([copy_of.get(i, i) % 2 for i in ids.tolist()], np.int64)
            yield Chunk(split, list(images), labels, ids, extra)
            first += len(images)

    write_shards(out, "drawings", ["even", "odd"], "drawn", chunks(), shard_rows)
    return ShardReader(out, image_size=16)


def drawings(count: int, first: int = 0) -> list[bytes]:
    return [encoded(drawing(first + number), "png") for number in range(count)]
