"""``cu bench duplicates``: plants changed copies of some rows, and measures which of them are found."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from cu_core.data.duplicates import find_copies
from cu_core.data.likeness import check_rate, measure_limits
from cu_core.data.order import EpochOrder, Rows
from cu_core.data.sample_ids import hashed_ids
from cu_core.data.schema import MANIFEST, SPLITS
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import Chunk, write_shards
from cu_core.data.signatures import ROWS_AT_ONCE, Signatures, sign_rows
from cu_core.data.stored_images import decoders
from cu_core.errors import UserError
from cu_core.files import write_text
from cu_core.storage import fetched, shown
from pipelines.console import bars, console
from pipelines.report.markdown import check_out, markdown_table
from pipelines.report.provenance import command_line
from pipelines.run.features import features_of

Change = Callable[[Image.Image, np.random.Generator], Image.Image]
CROPPED = 0.9
"""Share of each side that a crop keeps."""
QUALITY = 50
SEED = 0
"""Decides which rows get copies, and how large resized ones and where cropped ones are."""
BRIGHTER = 1.3
SIZES = (0.625, 0.75, 1.5, 2.0)
"""Factors of a resized copy's sides."""
COPY_OF, CHANGE = "copy_of", "change"
"""Columns of the planted data: the sample_id of the row that a row is a copy of, and what was changed."""
ORIGINAL = "original"
"""Stands in the column ``change`` of a row that has copies."""


def _resized(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = rng.choice(SIZES)
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = (max(1, round(side * CROPPED)) for side in image.size)
    left, top = (int(rng.integers(room + 1)) for room in (image.width - width, image.height - height))
    return image.crop((left, top, left + width, top + height))


CHANGES: Mapping[str, Change] = {
    "same pixels": lambda image, rng: image,
    "resized": _resized,
    "cropped": _cropped,
    "JPEG": lambda image, rng: image,
    "mirrored": lambda image, rng: ImageOps.mirror(image),
    "brightened": lambda image, rng: ImageEnhance.Brightness(image).enhance(BRIGHTER),
}


def _file_of(image: Image.Image, change: str) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY) if change == "JPEG" else image.save(out, "PNG")
    return out.getvalue()


def run_planted(
    data: Path, planted: Path, count: int, model: Path | None, rates: Sequence[float], out: Path | None
) -> None:
    """Plant, unless that was done, look for the copies by each kind alone, and print which were found."""
    check_out(out)
    for rate in rates:
        check_rate(rate)
    if not fetched(planted / MANIFEST):
        plant(ShardReader(data), planted, count, SEED)
    embed, reader = features_of(model, planted) if model else (None, ShardReader(planted))
    if CHANGE not in reader.manifest.extra_columns:
        raise UserError(f"{shown(planted)} has no column {CHANGE}; name a new folder.")
    with tempfile.TemporaryDirectory(prefix="cu-copies-") as folder, bars() as drawn:
        signed = sign_rows(
            reader,
            Path(folder),
            splits=("train",),
            embed=embed,
            progress=lambda done, total: drawn.update("read", done, total),
        )
        lines = _lines(reader, signed, rates)
    table = markdown_table(("kind", "rate", "limit", *CHANGES, "false"), lines)
    console.print(table, highlight=False, markup=False, soft_wrap=True)
    if out is not None:
        write_text(out, f"```\n{command_line()}\n```\n\n{table}\n")


def _lines(reader: ShardReader, signed: Signatures, rates: Sequence[float]) -> Iterator[list[str]]:
    """Yield, for each kind and rate, the share of the copies that were found by change, and how many rows are none."""
    every = np.arange(len(signed))
    copy_of = reader.column(COPY_OF, every).fill_null(-1).to_numpy()
    change = np.array(reader.column(CHANGE, every).to_pylist())
    ids = signed.rows["sample_id"]
    originals = np.flatnonzero(np.isin(ids, copy_of))
    kinds = {"exact": ("exact",), "near": ("near", "mirrored")} | ({"content": ("content",)} if signed.vectors else {})
    for name, members in kinds.items():
        for rate in rates if name != "exact" else [0.0]:
            limits = measure_limits(signed, rate) if name != "exact" else {}
            found = np.full(len(signed), -1)
            for part in find_copies(signed, limits, members, originals):
                found[part.rows] = ids[part.of]
            right = (found == copy_of) & (copy_of >= 0)
            shares = [f"{right[change == one].mean():.1%}" for one in CHANGES]
            limit = limits[name].least if limits else None
            wrong = int(((found >= 0) & ~right).sum())
            yield [name, f"{rate:g}" if limits else "", f"{limit:.3f}" if limit else "", *shares, str(wrong)]


def plant(reader: ShardReader, out: Path, count: int, seed: int) -> Rows:
    """Write the data set with one copy of each kind of ``count`` training rows; return the sample_ids of these rows."""
    if count > reader.num_rows("train"):
        raise UserError(f"count must be at most {reader.num_rows('train')}, the number of training rows, got {count}.")
    chosen = np.sort(EpochOrder(reader.num_rows("train"), seed).at(0, count))
    ids = reader.sample_ids("train", chosen)
    manifest = reader.manifest
    write_shards(out, f"{manifest.name} with copies", manifest.class_names, manifest.source, _chunks(reader, ids, seed))
    return ids


def _chunks(reader: ShardReader, chosen: Rows, seed: int) -> Iterator[Chunk]:
    rng = np.random.default_rng(seed)
    for split in SPLITS:
        for start in range(0, reader.num_rows(split), ROWS_AT_ONCE):
            rows = np.arange(start, min(start + ROWS_AT_ONCE, reader.num_rows(split)))
            images = [_picture(decode()) for decode in decoders(reader, split, rows)]
            labels, ids = reader.labels(split, rows), reader.sample_ids(split, rows)
            copied = np.isin(ids, chosen) & (split == "train")
            columns = _columns([None] * len(ids), np.where(copied, ORIGINAL, "").tolist())
            yield Chunk(split, [_file_of(image, "") for image in images], labels, ids, columns)
            again = np.flatnonzero(copied)
            for change, make in CHANGES.items():
                files = [_file_of(make(images[row], rng), change) for row in again]
                new = hashed_ids(f"{change} {sample_id}" for sample_id in ids[again])
                yield Chunk(split, files, labels[again], new, _columns(ids[again].tolist(), [change] * len(again)))


def _picture(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])


def _columns(copy_of: list[int | None], changes: list[str]) -> pa.Table:
    return pa.table({COPY_OF: pa.array(copy_of, pa.int64()), CHANGE: pa.array(changes, pa.string())})
