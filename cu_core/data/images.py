"""Image files -> pixels: the one place that decodes, built for bytes that nobody checked."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cu_core.errors import DataError
from cu_core.types import Interpolation

if TYPE_CHECKING:  # seconds to import, which a check of image files need not pay
    from torch import Tensor

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
"""Formats that are decoded, whatever the suffix says. Their decoders were fuzzed: docs/results/hostile_inputs.md.
Others of Pillow's formats start programs (EPS) or are known by their suffix alone (TGA)."""
MAX_PIXELS = 50_000_000
"""Pixels of an image that is packed, unless --max-pixels says otherwise; read from the header, before decoding."""
LARGEST_MAX_PIXELS = 2 * 89_478_485
"""Bound of every reader, which Pillow has too."""
JPEG = ("JPEG", "MPO")
START_OF_SCAN = b"\xff\xda"
MAX_SCANS = 100
"""Scans of a progressive JPEG; encoders write about ten. Each costs time for every pixel, and may have few bytes."""
MAX_RATIO = 4
"""A longer image is cropped to this ratio before it is resized, so that the memory of a strip stays small."""
GREY_WEIGHTS = (9794, 19234, 3740)
"""Red, green and blue, of 32768: what libpng computes for a grey image."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image is turned upright, by its EXIF orientation."""
ORIENTATION = 0x0112
"""EXIF tag."""
Encoded = bytes | memoryview
"""Content of an image file."""
PILLOW_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on damaged bytes: its parsers do not promise one class. Around calls of Pillow only."""

# Pillow warns of damaged metadata, once for each file; what matters is refused or counted.
warnings.filterwarnings("ignore", module="PIL")


def max_file_bytes(max_pixels: int) -> int:
    """Return the largest size of an image file: four channels of 16 bits, not compressed, and 16 MiB of metadata."""
    return 8 * max_pixels + 2**24


def open_image(data: Encoded, max_pixels: int) -> Image.Image:
    """Read the header of an image file, and check it against the bounds."""
    if not data:
        raise DataError("the image does not decode: the file is empty.")
    if len(data) > max_file_bytes(max_pixels):
        raise DataError(
            f"the image file has {len(data):,} bytes, the bound for {max_pixels:,} pixels is "
            f"{max_file_bytes(max_pixels):,}; make it smaller or raise --max-pixels when packing."
        )
    data = bytes(data)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(
            f"the image does not decode: it begins with {data[:12]!r}, which is none of {', '.join(FORMATS)}."
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(f"more than {LARGEST_MAX_PIXELS:,}", max_pixels) from error
    except PILLOW_ERRORS as error:
        raise _undecodable(error) from error
    if image.width * image.height > max_pixels:
        raise _too_large(f"{image.width} x {image.height} = {image.width * image.height:,}", max_pixels)
    if image.format in JPEG and data.count(START_OF_SCAN) > MAX_SCANS:
        raise DataError(f"the image does not decode: more than {MAX_SCANS} scans.")
    return image


def _too_large(found: str, max_pixels: int) -> DataError:
    return DataError(
        f"the image has {found} pixels, the bound is {max_pixels:,}; make it smaller or raise --max-pixels when "
        f"packing (at most {LARGEST_MAX_PIXELS:,})."
    )


def _undecodable(error: BaseException) -> DataError:
    text = (str(error).splitlines() or [""])[0].rstrip(".")
    return DataError(f"the image does not decode: {text or type(error).__name__}.")


def is_image_file(path: Path) -> bool:
    """Return whether a file begins as an image of a format that is decoded, whatever its name."""
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except Image.DecompressionBombError:
        return True
    except PILLOW_ERRORS:
        return False


def pixels(data: Encoded, channels: int = 3, max_pixels: int = LARGEST_MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode an image file, turned upright as its EXIF data says.

    Of an animated file the first frame is decoded. Transparency is dropped. Of 16-bit channels the high byte is kept.

    Args:
        data: Bytes of the file.
        channels: 1 for grey, 3 for RGB.
        max_pixels: Largest number of pixels.

    Returns:
        uint8 (height, width, channels).

    Raises:
        DataError: The bytes are not an image, or exceed a bound.
    """
    image = open_image(data, max_pixels)
    try:
        if channels == 1 and image.format in JPEG:
            image.draft("L", image.size)  # the file's own brightness, without a way through RGB
        image.load()
        orientation = _orientation(image)
        array = _eight_bits(image, channels)
        if orientation in TURNS:
            array = np.asarray(Image.fromarray(array).transpose(TURNS[orientation]))
    except PILLOW_ERRORS as error:
        raise error if isinstance(error, DataError) else _undecodable(error) from error
    array = array if array.ndim == 3 else array[..., None]
    return array if array.shape[2] == channels else np.repeat(array, channels, axis=2)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; metadata that does not parse holds none."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except PILLOW_ERRORS:
        return 1


def _eight_bits(image: Image.Image, channels: int) -> NDArray[np.uint8]:
    """Convert to uint8, grey (height, width) or RGB (height, width, 3)."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return (np.asarray(image) >> 8).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise DataError(
            f"the image does not decode: pixels of 32 bits (Pillow's mode {image.mode}) have no stated range; store 8 "
            f"or 16 bits."
        )
    if channels == 3:
        return np.asarray(image.convert("RGB"))
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    if image.format in JPEG:  # CMYK
        return np.asarray(image.convert("L"))
    weighted = np.asarray(image.convert("RGB")) @ np.array(GREY_WEIGHTS, np.uint32)
    return (weighted >> 15).astype(np.uint8)


def is_animated(data: Encoded, max_pixels: int = LARGEST_MAX_PIXELS) -> bool:
    """Return whether an image file has further frames or pages; those are not read.

    The previews in a photograph (MPO) are no frames.

    Raises:
        DataError: The bytes are not an image, or exceed a bound.
    """
    image = open_image(data, max_pixels)
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except PILLOW_ERRORS:  # what follows the first frame is damaged, and is not read
        return False


def decode(
    data: Encoded,
    channels: int,
    size: int,
    max_pixels: int = LARGEST_MAX_PIXELS,
    interpolation: Interpolation = "bilinear",
    keep_ratio: bool = True,
) -> Tensor:
    """Decode an image file to a square.

    Args:
        data: Bytes of the file.
        channels: 1 for grey, 3 for RGB.
        size: Side of the result in pixels.
        max_pixels: Largest number of pixels in the file.
        interpolation: Filter of the resizing, always with antialiasing.
        keep_ratio: Resize the shorter side and crop the centre; if not, both sides are resized.

    Returns:
        uint8 (channels, size, size).

    Raises:
        DataError: The bytes are not an image, or exceed a bound.
    """
    import torch
    from torchvision.transforms.v2 import functional as image_ops

    array = _centre(pixels(data, channels, max_pixels))
    image = torch.from_numpy(np.array(array)).permute(2, 0, 1)
    if image.shape[-2:] != (size, size):
        sides = [size] if keep_ratio else [size, size]
        image = image_ops.resize(image, sides, image_ops.InterpolationMode(interpolation), antialias=True)
        image = image_ops.center_crop(image, [size, size])
    return image


def _centre(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crop the longer side to at most ``MAX_RATIO`` times the shorter one."""
    bound = MAX_RATIO * min(array.shape[:2])
    top, left = (max(0, side - bound) // 2 for side in array.shape[:2])
    return array[top : top + bound, left : left + bound]
