"""Images as they are stored, in their own size: for comparing and showing rows, where a model does not read them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cu_core.data.column_views import encoded_view, tensor_view, to_pixels
from cu_core.data.images import pixels
from cu_core.data.order import Rows
from cu_core.data.schema import Split
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import DataError

Decode = Callable[[], NDArray[np.uint8]]
"""Decodes one image, uint8 (height, width, channels); raises DataError, with shard and row, where it does not."""


def decoders(reader: ShardReader, split: Split, rows: Rows) -> list[Decode]:
    """Return a function for each row that decodes its image."""
    found: dict[int, Decode] = {}
    for batch, shard, where, inside in reader.parts(split, rows):
        read = _reader_of(batch.column(reader.manifest.column("image")), reader.manifest.image_shape is not None)
        for position, row in zip(where.tolist(), inside.tolist(), strict=True):
            found[position] = partial(_named, read, row, f"shard {shard.path}, row {row}")
    return [found[position] for position in range(len(rows))]


def _reader_of(column: pa.Array, tensors: bool) -> Callable[[int], NDArray[np.uint8]]:
    if tensors:
        view = tensor_view(column)
        return lambda row: to_pixels(view[row : row + 1])[0].transpose(1, 2, 0)
    get = encoded_view(column)
    return lambda row: pixels(get(row))


def _named(read: Callable[[int], NDArray[np.uint8]], row: int, place: str) -> NDArray[np.uint8]:
    try:
        return read(row)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
