"""Random access to memory-mapped shards by row of a split."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cu_core.data.checked import check_shard
from cu_core.data.column_views import caption_lists, encoded_view, take_pixels, tensor_view
from cu_core.data.images import Encoded, decode
from cu_core.data.joined_tables import ROWS_AT_ONCE, joined
from cu_core.data.opened_shard import check_labels, check_opened, open_shard
from cu_core.data.order import Rows, hash64
from cu_core.data.ranges import may_hold
from cu_core.data.schema import CAPTION, Manifest, ShardInfo, Split, read_manifest
from cu_core.errors import DataError, UserError
from cu_core.salts import Salt
from cu_core.storage import address, fetch, make_room, place
from cu_core.types import Interpolation

if TYPE_CHECKING:  # seconds to import, which commands that read no image need not pay
    from torch import Tensor

ROW = "its number among the training rows"
"""A name that no column has."""


class ShardReader:
    """Reads columns of a packed data set; opens a shard when one of its rows is first read."""

    def __init__(
        self,
        folder: Path | str,
        image_size: int | None = None,
        channels: int = 3,
        half: int | None = None,
        interpolation: Interpolation = "bilinear",
        keep_ratio: bool = True,
    ):
        """Open a packed data set.

        Args:
            folder: Folder or address of the data set.
            image_size: Side of the images in pixels. Applies to encoded images only.
            channels: Number of channels. Applies to encoded images only.
            half: If given, training rows are those of a random half, drawn with this key.
            interpolation: Filter with which encoded images are resized.
            keep_ratio: Whether encoded images are cropped to a square after resizing, or squeezed.
        """
        self.folder = place(folder)
        self.manifest: Manifest = replace(read_manifest(self.folder), half=half)
        self.image_size = image_size
        self.channels = channels
        self.interpolation: Interpolation = interpolation
        self.keep_ratio = keep_ratio
        self._batches: dict[str, list[pa.RecordBatch]] = {}
        self._views: dict[int, NDArray[np.generic]] = {}

    @property
    def image_channels(self) -> int:
        """Number of channels of the images."""
        shape = self.manifest.image_shape
        return shape[0] if shape else self.channels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images that are read.

        Raises:
            UserError: The images are encoded and no ``image_size`` was given.
        """
        if self.manifest.image_shape is not None:
            return self.manifest.image_shape
        if self.image_size is None:
            raise UserError("encoded images need model.image_size, the side in pixels that the model reads.")
        return self.channels, self.image_size, self.image_size

    def num_rows(self, split: Split) -> int:
        """Return the number of rows of a split; of ``train``, those in the half."""
        return self.manifest.num_rows(split) if self._kept is None or split != "train" else len(self._kept)

    @cached_property
    def _kept(self) -> Rows | None:
        """Rows of the whole train split that are in the half; ``None`` if all are used."""
        if self.manifest.half is None:
            return None
        parts = [start + np.flatnonzero(hash64(ids, self.manifest.half, Salt.DATA_HALF) % np.uint64(2) == 0)
                 for start, ids in self._scan_all("train", "sample_id")]  # fmt: skip
        return np.concatenate(parts)

    def shard_path(self, shard: ShardInfo) -> Path:
        """Return the path of a shard on this machine."""
        return self.folder / shard.path

    def batches(self, shard: ShardInfo) -> list[pa.RecordBatch]:
        """Return the shard's record batches, memory-mapped.

        Raises:
            DataError: The file is missing, damaged, or was changed after packing.
        """
        if shard.path not in self._batches:
            path = self.shard_path(shard)
            mapped = self._mapped(path, shard)
            batches = open_shard(mapped, str(path))
            check_opened(self.manifest, shard, batches)
            self._batches[shard.path] = batches
        return self._batches[shard.path]

    def _mapped(self, path: Path, shard: ShardInfo) -> pa.MemoryMappedFile:
        for _ in range(3):  # a neighbour may drop it, to make room, before it is opened here
            self.bring(shard)
            with contextlib.suppress(FileNotFoundError):
                check_shard(path, shard)
                return pa.memory_map(str(path))
        raise DataError(f"shard {path} must have {shard.bytes} bytes, found no file; pack the data again.")

    def bring(self, shard: ShardInfo) -> None:
        """Copy a shard that lies at an address to this machine if it is not there yet, and mark the copy as used.

        Raises:
            DataError: The copy is not what was packed.
        """
        path = self.shard_path(shard)
        if address(path) is None:
            return
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))  # the time of change stays
            return
        fetch(path, lambda copy: check_shard(path, shard, copy))
        make_room(path)

    @cached_property
    def _index(self) -> dict[str, tuple[list[tuple[ShardInfo, int]], Rows]]:
        index = {}
        for split in ("train", "val", "test"):
            chunks = [(s, i) for s in self.manifest.shards if s.split == split for i in range(len(s.batch_rows))]
            starts = np.cumsum([0] + [s.batch_rows[i] for s, i in chunks])
            index[split] = (chunks, starts)
        return index

    def parts(self, split: Split, rows: Rows) -> Iterator[tuple[pa.RecordBatch, ShardInfo, Rows, Rows]]:
        """Yield (record batch, shard, positions in ``rows``, rows inside the batch) for each batch with a row.

        Raises:
            UserError: A row lies outside the split.
        """
        chunks, starts = self._index[split]
        kept = self._kept if split == "train" else None
        count = starts[-1] if kept is None else len(kept)
        if len(outside := rows[(rows < 0) | (rows >= count)]):
            raise UserError(f"row {outside[0]} is outside the {split} split of {count} rows.")
        rows = rows if kept is None else kept[rows]
        owner = starts.searchsorted(rows, side="right") - 1
        if len(owner) and owner[0] == owner.min() == owner.max():  # small sets are one batch, and need no sorting
            order, ends = np.arange(len(rows)), [len(rows)]
        else:
            order = owner.argsort(kind="stable")
            ends = [*(np.flatnonzero(np.diff(owner[order])) + 1).tolist(), len(rows)][: len(rows)]
        inside = (rows - starts[owner])[order]
        for first, end in zip([0, *ends], ends, strict=False):
            shard, number = chunks[owner[order[first]]]
            yield self.batches(shard)[number], shard, order[first:end], inside[first:end]

    def _integers(self, column: str, split: Split, rows: Rows) -> Rows:
        out = np.empty(len(rows), dtype=np.int64)
        name = self.manifest.column(column)
        for batch, shard, where, inside in self.parts(split, rows):
            out[where] = batch.column(name).to_numpy(zero_copy_only=False)[inside]
            if column == "label":
                check_labels(out[where], self.manifest.num_classes, shard.path, inside)
        return out

    def sample_ids(self, split: Split, rows: Rows) -> Rows:
        """Read the sample_ids of rows, int64 (N,)."""
        return self._integers("sample_id", split, rows)

    def labels(self, split: Split, rows: Rows) -> Rows:
        """Read the labels of rows, int64 (N,)."""
        return self._integers("label", split, rows)

    @property
    def has_captions(self) -> bool:
        """Whether the data has a caption column."""
        return self.manifest.column(CAPTION) in self.manifest.extra_columns

    def captions(self, split: Split, rows: Rows) -> list[list[str]]:
        """Read the captions of each row.

        Raises:
            DataError: The data has no captions, or a row has none.
        """
        name = self.manifest.column(CAPTION)
        if not self.has_captions:
            raise DataError(
                f"{self.folder} has no column {CAPTION}; pack pairs (webdataset:, coco:, parquet: with --column "
                f"caption=NAME), or labels with --caption 'a photo of a {{class}}.'."
            )
        out: list[list[str]] = [[]] * len(rows)
        for batch, shard, where, inside in self.parts(split, rows):
            for position, row, texts in zip(where, inside, caption_lists(batch.column(name).take(inside)), strict=True):
                if not texts:
                    raise DataError(f"shard {shard.path}, row {row}: no caption.")
                out[position] = texts
        return out

    def images(self, split: Split, rows: Rows) -> Tensor:
        """Read images, uint8 (N, channels, H, W).

        Raises:
            DataError: An image does not decode; the message names shard and row.
            UserError: The images are encoded and no ``image_size`` was given.
        """
        if self.manifest.image_shape is None:
            return self._decoded(split, rows)
        import torch

        found = np.empty((len(rows), *self.manifest.image_shape), dtype=np.uint8)
        places, first = list[Rows](), 0
        for batch, _, where, inside in self.parts(split, rows):
            take_pixels(self._view(batch), inside, found[first : first + len(where)])
            places.append(where)
            first += len(where)
        if len(places) > 1:  # of one batch they lie in order
            found[np.concatenate(places)] = found.copy()
        return torch.from_numpy(found)

    def _view(self, batch: pa.RecordBatch) -> NDArray[np.generic]:
        """Return the tensors of a record batch of this reader, not copied; Arrow takes longer than a few rows."""
        if id(batch) not in self._views:  # batches stay open as long as the reader
            self._views[id(batch)] = tensor_view(batch.column(self.manifest.column("image")))
        return self._views[id(batch)]

    def _decoded(self, split: Split, rows: Rows) -> Tensor:
        import torch

        channels, size, _ = self.image_shape
        out = np.empty((len(rows), channels, size, size), dtype=np.uint8)

        def put(position: int, data: Encoded, where: str) -> None:
            try:
                got = decode(data, channels, size, interpolation=self.interpolation, keep_ratio=self.keep_ratio)
                out[position] = got.numpy()
            except DataError as error:
                raise DataError(f"{where}: {error}") from error

        # As many threads as CPUs were given to this process; each resizes with one.
        with ThreadPoolExecutor(torch.get_num_threads(), initializer=lambda: torch.set_num_threads(1)) as pool:
            waiting = []
            for batch, shard, places, inside in self.parts(split, rows):
                get = encoded_view(batch.column(self.manifest.column("image")))
                for position, row in zip(places, inside, strict=True):
                    where = f"shard {shard.path}, row {row}"
                    waiting.append((position, pool.submit(put, int(position), get(int(row)), where)))
            for _, done in sorted(waiting, key=lambda one: one[0]):  # of several that fail, the first row is named
                done.result()
        return torch.from_numpy(out)

    def rows_where(self, expression: pc.Expression) -> Rows:
        """Return the training rows for which an expression over the shards' columns holds, ascending.

        Shards that cannot hold such rows, by their ranges, are not opened.

        Raises:
            pyarrow.ArrowException: The expression does not fit the columns.
        """
        chunks, starts = self._index["train"]
        possible = {s.path for s in may_hold(self.manifest.split_shards("train"), self._train_schema, expression)}

        def numbered() -> Iterator[pa.Table]:
            for (shard, number), start in zip(chunks, starts, strict=False):
                if shard.path in possible:
                    batch = self.batches(shard)[number]
                    columns = {n: batch.column(n) for n in batch.schema.names if n != self.manifest.column("image")}
                    yield pa.table(columns | {ROW: np.arange(start, start + batch.num_rows)})

        parts = [table.filter(expression)[ROW].to_numpy() for table in joined(numbered(), ROWS_AT_ONCE)]
        rows = np.concatenate([np.empty(0, np.int64), *parts])
        if self._kept is None:
            return rows
        where: Rows = np.flatnonzero(np.isin(self._kept, rows))
        return where

    def integers_in(self, column: str, values: Rows | Sequence[int]) -> Rows:
        """Return the training rows whose ``sample_id`` or ``label`` is one of the values, ascending."""
        return self.rows_where(self._is_in(column, values))

    def _is_in(self, column: str, values: Rows | Sequence[int]) -> pc.Expression:
        name = self.manifest.column(column)
        field, kind = pc.field(name), self._train_schema.field(name).type
        wide = field if kind == pa.int64() else field.cast(pa.int64())
        return wide.isin(pa.array(values, pa.int64()))

    @property
    def _train_schema(self) -> pa.Schema:
        return self.batches(self.manifest.split_shards("train")[0])[0].schema

    @property
    def schema(self) -> pa.Schema:
        """Columns of the training shards and their types."""
        return self._train_schema

    def column(self, name: str, rows: Rows, split: Split = "train") -> pa.Array:
        """Return the values of a column of the shards in rows of a split, in the order of ``rows``."""
        parts = [(where, batch.column(name).take(inside)) for batch, _, where, inside in self.parts(split, rows)]
        if not parts:
            return pa.array([], self.schema.field(name).type)
        order = np.argsort(np.concatenate([where for where, _ in parts]))
        return pa.concat_arrays([values for _, values in parts]).take(pa.array(order))

    def shard_spans(self, split: Split = "train") -> tuple[Rows, Rows]:
        """Return the first row and the number of rows of every shard of a split."""
        counts = np.array([shard.rows for shard in self.manifest.split_shards(split)], np.int64)
        return np.cumsum(counts) - counts, counts

    def may_hold(self, split: Split, classes: Sequence[int]) -> Rows:
        """Return the numbers of the shards of a split that may hold rows of these classes."""
        shards = self.manifest.split_shards(split)
        possible = {shard.path for shard in may_hold(shards, self._train_schema, self._is_in("label", classes))}
        return np.flatnonzero([shard.path in possible for shard in shards])

    def scan(self, split: Split, column: str) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield (first row, values) of an integer column, one record batch at a time."""
        for start, values in self._scan_all(split, column):
            if self._kept is None or split != "train":
                yield start, values
            else:
                first, last = np.searchsorted(self._kept, (start, start + len(values)))
                yield int(first), values[self._kept[first:last] - start]

    def _scan_all(self, split: Split, column: str) -> Iterator[tuple[int, NDArray[np.int64]]]:
        chunks, starts = self._index[split]
        for (shard, number), start in zip(chunks, starts, strict=False):
            stored = self.batches(shard)[number].column(self.manifest.column(column))
            values = np.from_dlpack(stored).astype(np.int64, copy=False)  # to_numpy would import pandas
            if column == "label":
                first = sum(shard.batch_rows[:number])
                check_labels(values, self.manifest.num_classes, shard.path, range(first, shard.rows))
            yield int(start), values
