"""A shard is compared with the manifest when it is opened: rows, columns, types, and labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cu_core.data.arrow_types import is_bytes, is_image_struct, is_texts
from cu_core.data.column_views import tensor_view, to_pixels
from cu_core.data.image_column import image_shape
from cu_core.data.order import Rows
from cu_core.data.schema import CAPTION, Manifest, ShardInfo
from cu_core.errors import DataError


def open_shard(mapped: pa.NativeFile, name: str) -> list[pa.RecordBatch]:
    """Return the record batches of an Arrow IPC file.

    Args:
        mapped: The file.
        name: Its name, for errors.

    Raises:
        DataError: It is no such file, or is damaged.
    """
    try:
        file = pa.ipc.open_file(mapped)
        batches = [file.get_batch(number) for number in range(file.num_record_batches)]
        for batch in batches:
            batch.validate(full=True)  # offsets that lie would crash the interpreter later
    except (pa.ArrowException, OSError) as error:
        text = str(error).splitlines()[0].rstrip(".")
        hint = " (a stream? of `datasets`: use hf:FOLDER; else write it with pyarrow.ipc.new_file)"
        hint = hint if "Not an Arrow file" in text else ""
        raise DataError(f"shard {name} is damaged: not an Arrow IPC file that can be read: {text}{hint}.") from error
    return batches


def check_opened(manifest: Manifest, shard: ShardInfo, batches: Sequence[pa.RecordBatch]) -> None:
    """Compare a shard's batches with its entry in the manifest.

    Raises:
        DataError: Rows, columns or types differ, or an id or a label is missing; the message names the row.
    """
    rows = tuple(batch.num_rows for batch in batches)
    if rows != shard.batch_rows:
        raise DataError(
            f"shard {shard.path} has {sum(rows)} rows in {len(rows)} batches, the manifest says {shard.rows} in "
            f"{len(shard.batch_rows)}; pack the data again."
        )
    for number, batch in enumerate(batches):
        first = sum(rows[:number])
        for role in ("sample_id", "label"):
            check_whole_numbers(shard.path, batch, manifest.column(role), role, first)
        check_image(shard.path, batch, manifest.column("image"), first, manifest.image_shape)
        for name in manifest.extra_columns:
            _column(shard.path, batch, name, "further column")


def _column(path: str, batch: pa.RecordBatch, name: str, role: str) -> pa.Array:
    found = batch.schema.get_all_field_indices(name)
    if len(found) != 1:
        count = "no column" if not found else f"{len(found)} columns"
        there = ", ".join(map(repr, batch.schema.names[:20]))
        raise DataError(f"shard {path}: {count} {name!r} ({role}); columns there: {there}.")
    return batch.column(found[0])


def check_whole_numbers(path: str, batch: pa.RecordBatch, name: str, role: str, first: int) -> None:
    """Check that an id or label column holds a whole number of 64 bits in every row.

    Raises:
        DataError: It does not.
    """
    column = _column(path, batch, name, role)
    if not pa.types.is_integer(column.type):
        raise DataError(
            f"shard {path}: column {name!r} ({role}) must hold integers, it holds {column.type}; `cu data pack "
            f"parquet:DIR` turns names into numbers."
        )
    if column.null_count:
        row = first + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(
            f"shard {path}, row {row}: column {name!r} ({role}) is null, as in {column.null_count} rows of the batch; "
            f"every row needs a {role}."
        )
    if column.type == pa.uint64() and len(column):
        greatest = int(column.to_numpy().max())
        if greatest >= 2**63:
            raise DataError(f"shard {path}: column {name!r} ({role}) holds {greatest}, which needs more than 63 bits.")


def check_image(
    path: str, batch: pa.RecordBatch, name: str, first: int, shape: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """Check an image column.

    Args:
        path: The shard.
        batch: Its rows.
        name: The column.
        first: Number of the first row in the shard.
        shape: (channels, H, W) that tensors must have; ``None``: the images must be encoded.

    Returns:
        (channels, H, W) of tensors; ``None`` for encoded images.

    Raises:
        DataError: The column is missing, holds something else, or a row has no tensor.
    """
    column = _column(path, batch, name, "image")
    found = tensor_shape(column, f"shard {path}: column {name!r} (image)")
    if found != shape:
        raise DataError(
            f"shard {path}: column {name!r} (image) holds {described(found)}, other shards or the manifest say "
            f"{described(shape)}."
        )
    if shape is not None and column.null_count:  # an encoded one is named when it is decoded
        row = first + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"shard {path}, row {row}: no image.")
    return found


def described(shape: tuple[int, ...] | None) -> str:
    """Return words for a shape."""
    return "encoded images" if shape is None else f"tensors of {tuple(shape)}"


def tensor_shape(column: pa.Array, place: str) -> tuple[int, ...] | None:
    """Return (channels, H, W) of a tensor column, or ``None`` for a column of encoded images.

    Raises:
        DataError: The column can hold no images.
    """
    kind = column.type
    if isinstance(kind, pa.FixedShapeTensorType):
        return image_shape(kind, place)
    if not (is_bytes(kind) or is_image_struct(kind)):
        raise DataError(f"{place} must hold image bytes or fixed-shape tensors, not {kind}.")
    return None


def check_labels(labels: NDArray[np.int64], num_classes: int, shard: str, rows: Sequence[int] | Rows) -> None:
    """Check that labels are class numbers.

    Args:
        labels: The labels, (N,).
        num_classes: Number of classes.
        shard: The shard, for errors.
        rows: Number of each row in it, for errors.

    Raises:
        DataError: One is not; the message names its row.
    """
    if len(labels) and not (labels.min() >= 0 and labels.max() < num_classes):
        bad = int(np.flatnonzero((labels < 0) | (labels >= num_classes))[0])
        raise DataError(
            f"shard {shard}, row {rows[bad]}: label {labels[bad]} is outside 0..{num_classes - 1}; pack the data again."
        )


def check_pixels(batch: pa.RecordBatch, name: str, place: str) -> None:
    """Check that float tensors are images.

    Raises:
        DataError: Values are outside 0..1 or not finite.
    """
    column = batch.column(name)
    if isinstance(column.type, pa.FixedShapeTensorType) and column.type.value_type != pa.uint8():
        try:
            to_pixels(tensor_view(column))
        except DataError as error:
            raise DataError(f"{place}: {error}") from error


def check_captions(path: str, batch: pa.RecordBatch, name: str) -> None:
    """Check that a caption column holds text.

    Raises:
        DataError: It does not.
    """
    column = _column(path, batch, name, CAPTION)
    if not is_texts(column.type):
        raise DataError(f"shard {path}: column {name!r} (caption) must hold strings or lists, not {column.type}.")
