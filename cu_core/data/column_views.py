"""Columns of a record batch as NumPy and Python see them: captions, tensors and image files."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cu_core.data.order import Rows
from cu_core.errors import DataError


def caption_lists(column: pa.Array) -> list[list[str]]:
    """Convert a column of one caption or of several to a list for each row; empty captions are dropped."""
    values = column.to_pylist()
    return [[text for text in ([v] if isinstance(v, str) else v or []) if text and text.strip()] for v in values]


def tensor_view(column: pa.Array) -> NDArray[np.generic]:
    """Return a zero-copy (N, channels, H, W) view of a column of tensors without nulls."""
    kind = column.type
    values = column.storage.flatten().to_numpy().reshape(len(column), *kind.shape)
    return values.transpose(0, *(axis + 1 for axis in kind.permutation or range(len(kind.shape))))  # type: ignore[no-any-return]


def to_pixels(images: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return images as uint8; floats in 0..1 become ``round(255 * value)``.

    Raises:
        DataError: A float is not in 0..1, or the values have another type.
    """
    if images.dtype == np.uint8:
        return images  # type: ignore[return-value]
    if not np.issubdtype(images.dtype, np.floating):
        raise DataError(f"images must be uint8 (0..255) or floats in 0..1, not {images.dtype}.")
    values = images.astype(np.float32)
    if values.size and not (values.min() >= 0 and values.max() <= 1):  # NaN too
        bad = values[int(np.flatnonzero(~((values >= 0) & (values <= 1)).reshape(len(values), -1).all(1))[0])]
        raise DataError(
            f"an image has pixels from {bad.min()} to {bad.max()}; floats must lie in 0..1: divide them by their "
            f"greatest value, or store uint8."
        )
    return np.round(values * 255).astype(np.uint8)


def take_pixels(view: NDArray[np.generic], rows: Rows, out: NDArray[np.uint8]) -> None:
    """Write rows of a tensor column, uint8 or floats in 0..1, into ``out``; the rows must lie within it.

    Raises:
        DataError: The values are no images.
    """
    if view.dtype == np.uint8 and view.flags.c_contiguous:
        view.take(rows, axis=0, out=out, mode="clip")  # several times as fast as an index; nothing is clipped
    else:  # take would first copy the whole view
        out[:] = to_pixels(view[rows])


def encoded_view(column: pa.Array) -> Callable[[int], memoryview]:
    """Return a function row -> image file, not copied, for a binary column or a struct with a ``bytes`` field."""
    data = column.field("bytes") if pa.types.is_struct(column.type) else column
    return lambda row: memoryview(data[row].as_buffer() or b"")
