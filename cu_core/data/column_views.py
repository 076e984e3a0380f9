"""Columns of a record batch as NumPy and Python see them: captions, tensors and image files."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cu_core.data.image_column import to_pixels
from cu_core.data.order import Rows


def caption_lists(column: pa.Array) -> list[list[str]]:
    """Convert a column of one caption or of several to a list for each row; empty captions are dropped."""
    values = column.to_pylist()
    return [[text for text in ([v] if isinstance(v, str) else v or []) if text and text.strip()] for v in values]


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
