"""Images of a table: bytes, Hugging Face's struct, paths of files, or tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cu_core.data.arrow_types import is_bytes, is_image_struct, is_path_struct, is_text
from cu_core.data.column_views import tensor_view, to_pixels
from cu_core.data.manifest_checks import shape_problem
from cu_core.data.row_problems import RowProblems
from cu_core.errors import DataError

MEGABYTE = 2**20
CHANNELS = (1, 3, 4)
"""Usual numbers of channels, by which an order of axes is told apart from another."""


def check_image_type(kind: pa.DataType, place: str) -> None:
    """Check that a column can hold images.

    Raises:
        DataError: It cannot.
    """
    if isinstance(kind, pa.FixedShapeTensorType):
        image_shape(kind, place)
    elif not (is_image_struct(kind) or is_path_struct(kind) or is_bytes(kind) or is_text(kind)):
        raise DataError(
            f"{place} (image) must hold image bytes, a struct of bytes and path, paths of files or fixed-shape "
            f"tensors, not {kind}."
        )


def image_shape(kind: pa.FixedShapeTensorType, place: str) -> tuple[int, ...]:
    """Return (channels, height, width) of a column of tensors, in the order that its permutation gives.

    Raises:
        DataError: They are no images.
    """
    shape = tuple(kind.shape[axis] for axis in kind.permutation or range(len(kind.shape)))
    if len(shape) != 3 or not (kind.value_type == pa.uint8() or pa.types.is_floating(kind.value_type)):
        raise DataError(
            f"{place} holds tensors of {kind.value_type} {shape}: images must be (channels, height, width) of uint8 "
            f"(0..255) or of floats in 0..1."
        )
    if shape[0] not in CHANNELS and shape[2] in CHANNELS:
        raise DataError(
            f"{place} holds tensors of {shape}: images must be (channels, height, width), these seem to be (height, "
            f"width, channels); transpose them to {(shape[2], *shape[:2])}, or give the column the permutation "
            f"[2, 0, 1]."
        )
    if problem := shape_problem(shape):
        raise DataError(f"{place}: {problem}.")
    return shape


class ImageFiles:
    """Reads the images of table rows; what a row lacks is recorded, and the row gets no bytes."""

    def __init__(self, root: Path, max_file_mb: int, problems: RowProblems):
        """Set where files lie and how large they may be.

        Args:
            root: Folder of the image files; paths must not leave it.
            max_file_mb: Size in MiB above which an image is refused.
            problems: Where problems are recorded.
        """
        self.root, self.problems = root.resolve(), problems
        self.max_bytes = max_file_mb * MEGABYTE
        self._no_file = f"paths are not a file in {self.root} (--image-root DIR names another folder)"

    def read(self, column: pa.Array, place: str, rows: Sequence[int]) -> NDArray[np.uint8] | list[bytes]:
        """Return the images of a column.

        Args:
            column: The column.
            place: Name of the file, for errors.
            rows: Number of each row in the file, for errors.
        """
        if isinstance(column.type, pa.FixedShapeTensorType):
            if column.null_count:
                self.problems.add("rows have no image", place, [rows[i] for i in _nulls(column)])
                column = column.drop_null()
            try:
                return to_pixels(tensor_view(column))
            except DataError as error:
                raise DataError(f"{place}, rows from {rows[0]}: {error}") from error
        names = [field.name for field in column.type] if pa.types.is_struct(column.type) else []
        data = pc.struct_field(column, "bytes") if names else column if is_bytes(column.type) else None
        paths = pc.struct_field(column, "path") if "path" in names else column if data is None else None
        return [self._image(data, paths, i, place, rows[i]) for i in range(len(column))]

    def _image(self, data: pa.Array | None, paths: pa.Array | None, i: int, place: str, row: int) -> bytes:
        if data is not None and data[i].is_valid:
            buffer = data[i].as_buffer()
            if buffer.size > self.max_bytes:
                return self._lacks(f"images are larger than --max-file-mb {self.max_bytes // MEGABYTE}", place, row)
            return buffer.to_pybytes() if buffer.size else self._lacks("images have no bytes", place, row)
        name = paths[i].as_py() if paths is not None else None
        if not name:
            return self._lacks("rows have no image", place, row)
        try:
            path = (self.root / name).resolve()
            if not path.is_relative_to(self.root):
                return self._lacks(self._no_file, place, row)
            if path.is_file() and path.stat().st_size > self.max_bytes:
                return self._lacks(f"images are larger than --max-file-mb {self.max_bytes // MEGABYTE}", place, row)
            if path.is_file():
                return path.read_bytes() or self._lacks("images have no bytes", place, row)
        except ValueError:  # a NUL in the name
            pass
        except OSError as error:
            return self._lacks(f"paths cannot be read ({error.strerror})", place, row)
        return self._lacks(self._no_file, place, row)

    def _lacks(self, kind: str, place: str, row: int) -> bytes:
        self.problems.add(kind, place, [row])
        return b""


def _nulls(column: pa.Array) -> list[int]:
    return [int(i) for i in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))]
