"""Every kind of image file becomes the pixels that its author saw, or one error."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cu_core.data import images
from cu_core.data.images import decode, is_animated, is_image_file, max_file_bytes, pixels
from cu_core.errors import DataError
from tests.pictures import encoded, grey_file, picture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
RGB = picture(np.random.default_rng(0), 37, 53)
GREY, ALPHA, PALETTE = RGB.convert("L"), RGB.convert("RGBA"), RGB.quantize(16)


def ihdr(width: int, height: int) -> bytes:
    """A PNG that only claims its size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "data",
    [
        encoded(RGB, "png"),
        encoded(GREY, "png"),
        encoded(ALPHA, "png"),
        encoded(GREY.convert("LA"), "png"),
        encoded(PALETTE, "png"),
        encoded(PALETTE, "png", transparency=3),
        encoded(RGB.convert("1"), "png"),
        encoded(RGB, "jpeg", quality=85),
        encoded(RGB, "jpeg", subsampling=0, progressive=True),
        encoded(GREY, "jpeg"),
        encoded(RGB.convert("CMYK"), "jpeg"),
    ],
    ids=["rgb", "grey", "alpha", "grey alpha", "palette", "clear palette", "1 bit"]
    + ["jpeg", "progressive", "grey jpeg", "cmyk"],
)
def test_sound_files_have_the_pixels_of_torchvision(data: bytes, channels: int) -> None:
    """Bit for bit, so that results on data that was packed before stay."""
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms.v2 import functional as image_ops

    mode = ImageReadMode.GRAY if channels == 1 else ImageReadMode.RGB
    want = decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode)
    assert torch.equal(torch.from_numpy(pixels(data, channels).copy()).permute(2, 0, 1), want)
    resized = image_ops.center_crop(image_ops.resize(want, [16], antialias=True), [16, 16])
    assert torch.equal(decode(data, channels, 16), resized)


@pytest.mark.parametrize("kind", ["png", "webp", "gif", "bmp", "tiff", "avif", "ppm"])
def test_every_format_is_read_in_colour_and_in_grey(kind: str) -> None:
    data = encoded(Image.new("RGB", (20, 20), (200, 100, 50)), kind)
    expected = (200 * 9794 + 100 * 19234 + 50 * 3740) / 2**15
    assert pixels(data).mean((0, 1)) == pytest.approx([200, 100, 50], abs=4)
    assert pixels(data, 1).shape == (20, 20, 1)
    assert pixels(data, 1).mean() == pytest.approx(expected, abs=4)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_keep_their_high_byte(kind: str) -> None:
    values = np.array([[0, 255, 256, 0x7FFF], [0x8000, 0xFEFF, 0xFF00, 0xFFFF]], np.uint16)
    data = encoded(Image.fromarray(values), kind)
    assert pixels(data, 1)[..., 0].tolist() == [[0, 0, 1, 127], [128, 254, 255, 255]]
    assert (pixels(data, 3) == pixels(data, 1)).all()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_range_are_refused(mode: str) -> None:
    with pytest.raises(DataError, match="32 bits"):
        pixels(encoded(GREY.convert(mode), "tiff"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp", "avif"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    """The stored image is such that the orientation turns it into one that is bright above and left."""
    upright = np.zeros((16, 32), np.uint8)
    upright[:8] = 120
    upright[:, :16] += 100
    undo = {6: 8, 8: 6}.get(orientation, orientation)  # the other orientations are their own inverse
    stored = Image.fromarray(upright)
    stored = stored.transpose(images.TURNS[undo]) if undo in images.TURNS else stored
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    got = pixels(encoded(stored, kind, exif=exif), 1)[..., 0]
    assert got.shape == upright.shape
    assert np.abs(got.astype(int) - upright).mean() <= 6


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_is_none_is_passed_over(value: int) -> None:
    exif = Image.Exif()
    exif[images.ORIENTATION] = value
    assert (pixels(encoded(RGB, "png", exif=exif)) == np.asarray(RGB)).all()


@pytest.mark.parametrize("exif", [b"", b"words", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\xff\xff\xff\xff"])
def test_damaged_exif_data_turns_nothing(exif: bytes) -> None:
    assert (pixels(encoded(RGB, "png", exif=b"Exif\0\0" + exif)) == np.asarray(RGB)).all()


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tiff", "avif"])
def test_the_first_of_several_frames_is_read(kind: str) -> None:
    first, second = Image.new("RGB", (20, 20), (250, 250, 250)), Image.new("RGB", (20, 20), (5, 5, 5))
    moving = encoded(first, kind, save_all=True, append_images=[second])
    assert is_animated(moving)
    assert not is_animated(encoded(first, kind))
    assert pixels(moving).min() > 240


def test_the_preview_of_a_photograph_is_no_frame() -> None:
    data = encoded(RGB, "mpo", save_all=True, append_images=[RGB.resize((8, 8))])
    assert not is_animated(data)
    assert pixels(data).shape == (37, 53, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>", "begins with b'<!DOCTYPE ht'"),
        (encoded(RGB, "jpeg")[:400], "does not decode"),
        (encoded(RGB, "png")[:-300], "does not decode"),
        (encoded(RGB, "gif")[:-300], "does not decode"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of JPEG"),
        (ihdr(0, 5), "does not decode"),
    ],
    ids=["empty", "html", "half a jpeg", "cut png", "cut gif", "postscript", "no width"],
)
def test_what_is_no_image_is_said(data: bytes, message: str) -> None:
    for call in (pixels, lambda d: decode(d, 3, 8), lambda d: pixels(memoryview(d))):
        with pytest.raises(DataError, match=message):
            call(data)


def test_the_bound_on_pixels_is_read_from_the_header() -> None:
    assert pixels(grey_file(3, size=(20, 10)), max_pixels=200).shape == (10, 20, 3)
    with pytest.raises(DataError, match=r"20 x 10 = 200 pixels, the bound is 199; .*--max-pixels"):
        pixels(grey_file(3, size=(20, 10)), max_pixels=199)
    for width in (7_100, 20_000, 2**31 - 1):
        with pytest.raises(DataError, match="the bound is 50,000,000"):
            pixels(ihdr(width, 20_000), max_pixels=images.MAX_PIXELS)


def test_the_bound_on_bytes_comes_before_they_are_copied() -> None:
    data = grey_file(3)
    padded = data + bytes(max_file_bytes(144) - len(data))
    assert pixels(padded, max_pixels=144).shape == (12, 12, 3)
    with pytest.raises(DataError, match="bytes, the bound for 144 pixels is"):
        pixels(padded + b"\0", max_pixels=144)


def test_a_jpeg_of_many_scans_is_refused() -> None:
    data = encoded(GREY, "jpeg", progressive=True)
    last = data.rindex(b"\xff\xda")
    repeated = data[:last] + data[last:-2] * images.MAX_SCANS + data[-2:]
    with pytest.raises(DataError, match="scans"):
        pixels(repeated)
    noise = data[last:] * images.MAX_SCANS
    assert pixels(encoded(GREY, "png") + noise).shape == (37, 53, 3)


@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1), (2, 30_001)])
def test_a_strip_needs_little_memory_and_keeps_its_centre(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.transforms.v2 import functional as image_ops

    sizes = []
    real = image_ops.resize
    monkeypatch.setattr(image_ops, "resize", lambda image, *a, **k: sizes.append(real(image, *a, **k)) or sizes[-1])
    ramp = np.linspace(0, 255, shape[0] * shape[1]).reshape(shape).astype(np.uint8)
    got = decode(encoded(Image.fromarray(ramp), "png"), 1, 32)
    assert got.shape == (1, 32, 32)
    assert got.float().mean().item() == pytest.approx(127, abs=2)
    assert sizes[0].numel() <= images.MAX_RATIO * 32 * 32


def test_a_file_is_an_image_by_its_content(tmp_path: Path) -> None:
    contents = {"a.bmp": grey_file(1, "bmp"), "b": grey_file(1), "c.csv": b"1,2\n", "d": b"", "e": ihdr(20_000, 20_000)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert [is_image_file(tmp_path / name) for name in contents] == [True, True, False, False, True]
