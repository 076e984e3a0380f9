"""Map-style data sets of PyTorch as a source: rows ``(image, label)``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cu_core.data.schema import Split
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import CHUNK_ROWS, Source
from cu_core.errors import DataError

BANDS = (1, 3, 4)
"""Numbers of channels that images have."""


class Rows(Protocol):
    """A map-style ``torch.utils.data.Dataset``, or any object with its two methods."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


def dataset_source(name: str, parts: Mapping[Split, Rows], class_names: Sequence[str]) -> Source:
    """Build a source from the rows of data sets, in their order.

    The ``sample_id`` of a row of the first part is its index; those of the other parts continue from there.

    Args:
        name: Name of the data set.
        parts: Split -> data set.
        class_names: Names of the classes.

    Returns:
        The source. Reading it raises ``DataError`` if an image or label cannot be used; the message names the row.
    """

    def read() -> Iterator[Chunk]:
        first, shape = 0, None
        for split, rows in parts.items():
            for start in range(0, len(rows), CHUNK_ROWS):
                numbers = range(start, min(start + CHUNK_ROWS, len(rows)))
                pairs = [_row(rows, number, split, len(class_names)) for number in numbers]
                for number, (image, _) in zip(numbers, pairs, strict=True):
                    shape = shape or image.shape
                    if image.shape != shape:
                        raise DataError(
                            f"{split} row {number}: an image of {image.shape} (channels, height, width), others are "
                            f"{shape}; resize the images in the data set."
                        )
                images = np.stack([image for image, _ in pairs])
                labels = np.array([label for _, label in pairs], np.int64)
                yield Chunk(split, images, labels, np.arange(first + start, first + numbers.stop, dtype=np.int64))
            first += len(rows)

    return Source(name, tuple(class_names), {split: len(rows) for split, rows in parts.items()}, read)


def _row(rows: Rows, number: int, split: Split, num_classes: int) -> tuple[NDArray[np.uint8], int]:
    """Return (uint8 (channels, height, width), label)."""
    try:
        image, label = rows[number]
        label = int(label)
    except (TypeError, ValueError) as error:
        raise DataError(f"{split} row {number}: must be a pair (image, label), label a whole number.") from error
    if not 0 <= label < num_classes:
        raise DataError(f"{split} row {number}: label {label} is none of the {num_classes} classes.")
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise DataError(
            f"{split} row {number}: the image must be a PIL image, or uint8 of (channels, height, width), got "
            f"{pixels.dtype} of {pixels.shape}; leave ToTensor and Normalize out of the data set: the model does both."
        )
    if pixels.ndim == 2:
        return pixels[None], label
    if not hasattr(image, "getbands") and pixels.shape[-1] in BANDS and pixels.shape[0] not in BANDS:
        raise DataError(
            f"{split} row {number}: the image must be uint8 of (channels, height, width), got {pixels.shape}, which "
            f"looks like (height, width, channels); return image.transpose(2, 0, 1), or a PIL image."
        )
    is_picture = hasattr(image, "getbands")  # of Pillow: channels last
    return (pixels.transpose(2, 0, 1) if is_picture else pixels), label
