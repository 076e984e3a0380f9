"""Streams rows into Arrow shards; the folder appears under its name only when the manifest is in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cu_core.data.ranges import ranges_of
from cu_core.data.sample_ids import OWN_ID, repeated
from cu_core.data.schema import MANIFEST, Manifest, ShardInfo, Split, write_manifest
from cu_core.errors import DataError
from cu_core.files import file_sha256, new_folder
from cu_core.leftovers import sweep
from cu_core.storage import fetched, shown

SHARD_ROWS = 8192
SHARD_BYTES = 2**30
"""A shard of large images has fewer rows, so that packing needs little memory."""


@dataclass(frozen=True)
class Chunk:
    """Some rows of one split, as a source yields them."""

    split: Split
    images: NDArray[np.uint8] | list[bytes]
    """uint8 (N, channels, H, W), or N image files."""
    labels: NDArray[np.int64]
    sample_ids: NDArray[np.int64]
    extra: pa.Table | None = None
    """Further columns, N rows."""
    places: Sequence[str] | None = None
    """Where the source has each row, for messages."""

    def rows(self, rows: NDArray[np.int64]) -> Chunk:
        """Return some of the rows."""
        return replace(
            self,
            images=[self.images[i] for i in rows] if isinstance(self.images, list) else self.images[rows],
            labels=self.labels[rows],
            sample_ids=self.sample_ids[rows],
            extra=self.extra.take(rows) if self.extra is not None else None,
            places=[self.places[i] for i in rows] if self.places is not None else None,
        )

    def table(self) -> pa.Table:
        """Convert the rows to an Arrow table."""
        if isinstance(self.images, list):
            image: pa.Array = pa.array(self.images, pa.binary())
        else:
            shape = self.images.shape[1:]
            # Built by hand: from_numpy_ndarray guesses a permutation from strides, which one channel makes ambiguous.
            pixels = pa.FixedSizeListArray.from_arrays(pa.array(self.images.reshape(-1)), int(np.prod(shape)))
            image = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.uint8(), shape), pixels)
        columns = {"sample_id": pa.array(self.sample_ids, pa.int64()), "image": image}
        columns["label"] = pa.array(self.labels, pa.int64())
        if self.extra is not None:
            columns |= {name: self.extra[name].combine_chunks() for name in self.extra.column_names}
        return pa.table(columns)


def refuse_existing(out: Path) -> None:
    """Refuse a folder that exists, here or at its address. What killed packs left beside it is deleted.

    Raises:
        DataError: It exists.
    """
    sweep(out.parent)
    if out.exists() or fetched(out / MANIFEST):
        raise DataError(f"{shown(out)} already exists; choose another folder or delete it first.")


@contextlib.contextmanager
def new_data_folder(out: Path) -> Iterator[Path]:
    """Context manager: a folder of this process that becomes ``out`` when the block ends without an error.

    Several processes may write one ``out`` at once: the first that ends has it.

    Raises:
        DataError: ``out`` exists, or another process made it meanwhile.
    """
    refuse_existing(out)
    try:
        with new_folder(out) as partial:
            yield partial
    except FileExistsError as error:
        raise DataError(
            f"{shown(out)} was made by another process meanwhile; its data stays, that of this one is deleted."
        ) from error


class _PixelMoments:
    """Running per-channel mean and standard deviation of pixels in 0..1."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, np.zeros(0), np.zeros(0)

    def add(self, images: NDArray[np.uint8]) -> None:
        values = images.astype(np.float64) / 255
        total, squares = values.sum((0, 2, 3)), (values**2).sum((0, 2, 3))
        first = self.count == 0
        self.total, self.squares = (total, squares) if first else (self.total + total, self.squares + squares)
        self.count += values.size // values.shape[1]

    def result(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        mean = self.total / self.count
        std = np.sqrt(np.maximum(self.squares / self.count - mean**2, 1e-6))
        return tuple(np.round(mean, 6).tolist()), tuple(np.round(std, 6).tolist())


class ShardWriter:
    """Context manager: ``add`` chunks, then ``finish``; an error or an interrupt leaves nothing under ``out``.

    Raises:
        DataError: ``out`` exists, a chunk changes the image shape or the columns, or labels leave the class range.
    """

    def __init__(self, out: Path, name: str, class_names: Iterable[str], source: str, shard_rows: int = SHARD_ROWS):
        refuse_existing(out)
        self.out, self.name, self.source, self.shard_rows = out, name, source, shard_rows
        self.class_names = tuple(class_names)
        self.partial = Path()
        self._folder = new_data_folder(out)
        self.shards: list[ShardInfo] = []
        self._pending: dict[Split, list[pa.Table]] = {}
        self._schema: pa.Schema | None = None
        self._moments = _PixelMoments()
        self._ids: list[NDArray[np.int64]] = []

    def __enter__(self) -> ShardWriter:
        self.partial = self._folder.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.__exit__(kind, error, trace)

    def add(self, chunk: Chunk) -> None:
        """Add rows; shards are written as they fill."""
        if len(chunk.labels) == 0:
            return
        if chunk.labels.min() < 0 or chunk.labels.max() >= len(self.class_names):
            bad = chunk.labels[(chunk.labels < 0) | (chunk.labels >= len(self.class_names))][0]
            raise DataError(f"label {bad} is outside 0..{len(self.class_names) - 1} ({len(self.class_names)} classes).")
        self._ids.append(chunk.sample_ids)
        table = chunk.table()
        self._schema = self._schema or table.schema
        if table.schema != self._schema:
            raise DataError(
                f"rows of one data set must share columns and image shape: {table.schema} came after "
                f"{self._schema}.".replace("\n", ", ")
            )
        if chunk.split == "train" and not isinstance(chunk.images, list):
            self._moments.add(chunk.images)
        pending = self._pending.setdefault(chunk.split, [])
        pending.append(table)
        while sum(t.num_rows for t in pending) >= self.shard_rows:
            joined = pa.concat_tables(pending)
            self._write(chunk.split, joined.slice(0, self.shard_rows))
            pending[:] = [joined.slice(self.shard_rows)]
        if sum(t.nbytes for t in pending) >= SHARD_BYTES:
            self._write(chunk.split, pa.concat_tables(pending))
            pending.clear()

    def _write(self, split: Split, table: pa.Table) -> None:
        number = sum(s.split == split for s in self.shards)
        path = self.partial / f"{split}-{number:05d}.arrow"
        batches = table.combine_chunks().to_batches()  # more than one if the images exceed 2 GB
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        info = ShardInfo(
            path=path.name,
            split=split,
            batch_rows=tuple(batch.num_rows for batch in batches),
            bytes=path.stat().st_size,
            sha256=file_sha256(path),
            ranges=ranges_of(batches),
        )
        self.shards.append(info)

    def finish(
        self, notes: Mapping[str, int] | None = None, id_column: str | None = None, label_values: Sequence[int] = ()
    ) -> Manifest:
        """Write the remaining rows and the manifest; the folder gets its name when the block ends.

        Args:
            notes: What was left out and how many, for the manifest.
            id_column: Column of the user's own ids, if ``sample_id`` is a hash of them.
            label_values: Label in the source of each class, if it is another number.

        Returns:
            The manifest.

        Raises:
            DataError: There are no training rows, or an id occurs twice.
        """
        twice = repeated(self._ids)
        if len(twice):
            shown = ", ".join(map(str, twice[:8]))
            raise DataError(f"{self.source}: {len(twice)} sample_ids occur more than once, e.g. {shown}.")
        for split, pending in self._pending.items():
            if sum(t.num_rows for t in pending):
                self._write(split, pa.concat_tables(pending))
        if not any(s.split == "train" for s in self.shards) or self._schema is None:
            raise DataError(f"{self.source} gave no training rows; nothing was written.")
        kind = self._schema.field("image").type
        shape = tuple(kind.shape) if isinstance(kind, pa.FixedShapeTensorType) else None
        manifest = Manifest(
            name=self.name,
            source=self.source,
            class_names=self.class_names,
            shards=tuple(self.shards),
            image_kind="tensor" if shape else "encoded",
            image_shape=shape,
            extra_columns=tuple(n for n in self._schema.names if n not in ("sample_id", "image", "label")),
            notes=dict(notes or {}),
            columns={OWN_ID: id_column} if id_column else {},
            label_values=tuple(label_values),
        )
        if shape:
            mean, std = self._moments.result()
            manifest = replace(manifest, pixel_mean=mean, pixel_std=std)
        write_manifest(self.partial, manifest)
        return manifest


def write_shards(
    out: Path,
    name: str,
    class_names: Iterable[str],
    source: str,
    chunks: Iterator[Chunk],
    shard_rows: int = SHARD_ROWS,
    notes: Mapping[str, int] | None = None,
) -> Manifest:
    """Pack all chunks.

    Args:
        out: Folder to write; it must not exist.
        name: Name of the data set.
        class_names: Names of the classes.
        source: Description of the source, for the manifest.
        chunks: The rows.
        shard_rows: Rows of a shard.
        notes: What was left out and how many, for the manifest.

    Returns:
        The manifest.

    Raises:
        DataError: ``out`` exists, or the rows do not fit together.
    """
    with ShardWriter(out, name, class_names, source, shard_rows) as writer:
        for chunk in chunks:
            writer.add(chunk)
        return writer.finish(notes)
