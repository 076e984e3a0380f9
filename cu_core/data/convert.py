"""Pack a source into shards, or register Arrow shards where they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from cu_core.data.captions import captioned, coco, webdataset
from cu_core.data.folder_source import folder
from cu_core.data.image_check import checked, decoded
from cu_core.data.order import EpochOrder
from cu_core.data.parquet_files import parquet
from cu_core.data.ranges import ranges_of
from cu_core.data.schema import CAPTION, Manifest, ShardInfo, Split, write_manifest
from cu_core.data.shard_reader import tensor_view
from cu_core.data.shard_writer import SHARD_ROWS, Chunk, write_shards
from cu_core.data.sources import Source, SourceOptions, digits, fashion_mnist, split_of, torchvision_set
from cu_core.errors import DataError
from cu_core.files import file_sha256
from cu_core.storage import publish

SOURCES: dict[str, Callable[[str, SourceOptions], Source]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "torchvision": torchvision_set,
    "folder": folder,
    "parquet": parquet,
    "webdataset": webdataset,
    "coco": coco,
}
Progress = Callable[[int, int], None]
"""Called with rows done and rows in all."""


@dataclass(frozen=True)
class SplitPlan:
    """How the source's training rows are split; the split of a row depends only on ``seed`` and the row's number."""

    val_frac: float = 0.1
    test_frac: float = 0.2
    """Used only where the source has no test split of its own."""
    train_rows: int | None = None
    """Keep this many training rows; absent: all."""
    seed: int = 0

    def sizes(self, counts: Mapping[Split, int]) -> tuple[int, int, int]:
        """Return the (val, test, train) rows taken from the source's training rows.

        Raises:
            DataError: There are fewer training rows than ``train_rows``.
        """
        count = counts.get("train", 0)
        val = 0 if "val" in counts else round(count * self.val_frac)
        test = 0 if "test" in counts else round(count * self.test_frac)
        train = count - val - test
        if self.train_rows is not None:
            if not 0 < self.train_rows <= train:
                raise DataError(
                    f"--train-rows must lie between 1 and {train} (rows left after val and test), "
                    f"got {self.train_rows}."
                )
            train = self.train_rows
        return val, test, train


def assign_splits(source: Source, plan: SplitPlan) -> Iterator[Chunk]:
    """Yield the source's chunks with every training row assigned to its split, or dropped."""
    val, test, train = plan.sizes(source.counts)
    targets: tuple[tuple[Split, int], ...] = (("val", val), ("test", test), ("train", train))
    order = EpochOrder(source.counts["train"], plan.seed) if source.counts.get("train") else None
    seen = 0
    for chunk in source.read():
        if chunk.split != "train" or order is None:
            yield chunk
            continue
        place = order.at(seen, len(chunk.labels))
        seen += len(chunk.labels)
        first = 0
        for split, size in targets:
            rows = np.flatnonzero((place >= first) & (place < first + size))
            first += size
            yield replace(chunk.rows(rows), split=split)


def _counted(chunks: Iterator[Chunk], total: int, progress: Progress) -> Iterator[Chunk]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk.labels)
        progress(min(done, total), total)


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


def pack(
    spec: str,
    out: Path,
    plan: SplitPlan,
    options: SourceOptions,
    progress: Progress,
    *,
    check_progress: Progress = no_progress,
) -> Manifest:
    """Write a source as a packed data set.

    Args:
        spec: ``digits``, ``fashion-mnist:DIR``, ..., ``arrow:DIR``.
        out: Folder to write; it must not exist.
        plan: How training rows are split.
        options: Options of the source.
        progress: Called with rows done and rows in total.
        check_progress: The same, while the images are checked, before anything is written.

    Returns:
        The manifest.

    Raises:
        DataError: The source is unknown or unusable, or ``out`` exists.
    """
    kind, _, argument = spec.partition(":")
    if kind == "arrow":
        return register_arrow(Path(argument), out, options, progress)
    if kind not in SOURCES:
        raise DataError(f"unknown source {kind!r}; sources: {', '.join([*SOURCES, 'arrow'])}.")
    if out.exists():
        raise DataError(f"{out} already exists; choose another folder or delete it first.")
    source = SOURCES[kind](argument, options)
    source = checked(source, options, check_progress) if options.check else source
    source = captioned(source, options.captions) if options.captions else source
    source = decoded(source, options.decode_size, options.max_pixels) if options.decode_size else source
    total = sum(plan.sizes(source.counts)) + sum(n for s, n in source.counts.items() if s != "train")
    chunks = _counted(assign_splits(source, plan), total, progress)
    shard_rows = options.shard_rows or SHARD_ROWS
    return write_shards(out, source.name, source.class_names, spec, chunks, shard_rows, source.notes)


def register_arrow(folder: Path, out: Path, options: SourceOptions, progress: Progress) -> Manifest:
    """Index a user's Arrow IPC files without rewriting them; file names or sub-folders name the split.

    Args:
        folder: Folder with the Arrow files.
        out: Folder for the manifest; it must not exist.
        options: Names of the columns.
        progress: Called with files done and files in total.

    Returns:
        The manifest.

    Raises:
        DataError: There is no file, a file or column is unusable, ``out`` exists, or an option needs rows to be
            written.
    """
    paths = sorted(folder.glob("**/*.arrow"))
    if not paths:
        raise DataError(f"arrow:{folder}: no *.arrow file there.")
    if out.exists():
        raise DataError(f"{out} already exists; choose another folder or delete it first.")
    _refuse_writing(options)
    named = options.columns or {}
    columns = {c: named.get(c, c) for c in ("sample_id", "image", "label")}
    shards: list[ShardInfo] = []
    top_label = -1
    for number, path in enumerate(paths):
        file = _open_arrow(path)
        _check_columns(path, file.schema, {**columns, **named})
        batches = [file.get_batch(i) for i in range(file.num_record_batches)]
        top_label = max([top_label, *(b.column(columns["label"]).to_numpy().max() for b in batches if b.num_rows)])
        shards.append(_shard(path, split_of(path.parent.name if path.parent != folder else path.name), batches))
        progress(number + 1, len(paths))
    image = batches[0].column(columns["image"])
    shape = tensor_view(image).shape[1:] if isinstance(image.type, pa.FixedShapeTensorType) else None
    moments = {"pixel_mean": (0.5,) * shape[0], "pixel_std": (0.25,) * shape[0]} if shape else {}
    manifest = Manifest(
        name=folder.name,
        source=f"arrow:{folder}",
        columns={k: v for k, v in {**columns, **named}.items() if k != v},
        image_kind="tensor" if shape else "encoded",
        image_shape=shape,
        shards=tuple(shards),
        class_names=tuple(str(c) for c in range(int(top_label) + 1)),
        extra_columns=tuple(n for n in file.schema.names if n not in columns.values()),
        **moments,
    )
    partial = out.with_name(f".{out.name}.partial")
    write_manifest(partial, manifest)
    partial.rename(out)
    publish(out)
    return manifest


def _refuse_writing(options: SourceOptions) -> None:
    needs_rows = {
        "--caption": options.captions,
        "--shard-rows": options.shard_rows,
        "--skip-bad": options.skip_bad,
        "--decode": options.decode_size,
    }
    for flag, given in needs_rows.items():
        if given:
            raise DataError(f"{flag} needs rows that are written; arrow: only registers shards where they lie.")


def _shard(path: Path, split: Split, batches: list[pa.RecordBatch]) -> ShardInfo:
    return ShardInfo(
        path=str(path.resolve()),
        split=split,
        batch_rows=tuple(b.num_rows for b in batches),
        bytes=path.stat().st_size,
        sha256=file_sha256(path),
        ranges=ranges_of(batches),
    )


def _open_arrow(path: Path) -> pa.ipc.RecordBatchFileReader:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path)))
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{path} is not an Arrow IPC file (stream format? rewrite it with pyarrow.ipc.new_file)."
        ) from error


def _check_columns(path: Path, schema: pa.Schema, columns: Mapping[str, str]) -> None:
    for role, name in columns.items():
        if name not in schema.names:
            raise DataError(
                f"{path} has no column {name!r}; columns there: {', '.join(schema.names)}. "
                f"Map yours with --column {role}=NAME."
            )
        kind = schema.field(name).type
        if role == CAPTION:
            text = kind.value_type if pa.types.is_list(kind) else kind
            if not (pa.types.is_string(text) or pa.types.is_large_string(text)):
                raise DataError(f"{path}: column {name!r} (caption) must hold strings or lists, not {kind}.")
            continue
        if role != "image" and not pa.types.is_integer(kind):
            raise DataError(
                f"{path}: column {name!r} ({role}) must hold integers, it holds {kind}; "
                f"`cu data pack parquet:DIR` turns names into numbers."
            )
        wanted = (
            isinstance(kind, pa.FixedShapeTensorType)
            or pa.types.is_binary(kind)
            or pa.types.is_large_binary(kind)
            or pa.types.is_struct(kind)
        )
        if role == "image" and not wanted:
            raise DataError(
                f"{path}: column {name!r} (image) must hold image bytes or fixed-shape tensors, not {kind}."
            )
