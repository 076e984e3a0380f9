"""Mutated image files against a decoder, in processes of their own, so that a crash or a hang is seen and counted.

python -m tests.hostile.fuzz_images --decoder torchvision --format png --files 20000 --seed 1
"""

from __future__ import annotations

import argparse
import queue
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from tests.hostile.mutations import mutated
from tests.pictures import encoded, picture

FORMATS = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "ppm")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HANG_SECONDS = 60.0
"""Without an answer about a file of a few kilobytes."""


@cache
def sound_files(kind: str) -> list[bytes]:
    """Small files of one format in its variants."""
    rng = np.random.default_rng(0)
    rgb, other = picture(rng, 40, 53), picture(rng, 33, 21)
    turned = Image.Exif()
    turned[0x0112] = 6
    frames = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    deep = Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
    grey, alpha, palette = rgb.convert("L"), rgb.convert("RGBA"), rgb.quantize(32)
    variants: dict[str, list[tuple[Image.Image, dict[str, object]]]] = {
        "jpeg": [
            (rgb, {}),
            (rgb, {"progressive": True}),
            (grey, {}),
            (rgb.convert("CMYK"), {}),
            (rgb, {"exif": turned}),
        ],
        "png": [(rgb, {}), (grey, {}), (alpha, {}), (palette, {}), (deep, {}), (rgb, {"exif": turned}), (rgb, frames)],
        "webp": [(rgb, {}), (rgb, {"lossless": True}), (alpha, {}), (rgb, frames)],
        "gif": [(palette, {}), (grey, {}), (rgb, frames), (palette, {"transparency": 3, "interlace": 1})],
        "bmp": [(rgb, {}), (grey, {}), (palette, {}), (rgb.convert("1"), {})],
        "tiff": [(rgb, {"compression": c}) for c in ("raw", "tiff_lzw", "tiff_deflate", "jpeg", "packbits")]
        + [(deep, {}), (rgb, frames), (rgb.convert("1"), {"compression": "group4"})],
        "avif": [(rgb, {}), (alpha, {}), (rgb, frames)],
        "ppm": [(rgb, {}), (grey, {}), (rgb.convert("1"), {})],
    }
    return [encoded(image, kind, **options) for image, options in variants[kind]] + [encoded(other, kind)]


def damaged_file(kind: str, seed: int, number: int) -> bytes:
    """Mutated file ``number`` of a format; now and then mutated twice, or spliced with another format."""
    rng = np.random.default_rng([seed, FORMATS.index(kind), number])
    files = sound_files(kind)
    others = files if rng.random() < 0.9 else sound_files(FORMATS[rng.integers(len(FORMATS))])
    data = files[number % len(files)]
    for _ in range(1 if rng.random() < 0.7 else 2):
        data = mutated(data, others[rng.integers(len(others))], rng) or b"\0"
    return with_checksums(data) if kind == "png" and rng.random() < 0.5 else data


def with_checksums(data: bytes) -> bytes:
    """Mend the checksums of a PNG file's chunks, so that damage gets past them into the decoder."""
    raw, place = bytearray(data), len(PNG_SIGNATURE)
    while place + 12 <= len(raw):
        end = place + 8 + int.from_bytes(raw[place : place + 4], "big")
        if end + 4 > len(raw):
            break
        raw[end : end + 4] = zlib.crc32(raw[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(raw)


def _ours(data: bytes) -> None:
    """With the bounds of a pack."""
    from cu_core.data.images import MAX_PIXELS, is_animated, pixels
    from cu_core.errors import DataError

    for call in (is_animated, pixels):
        try:
            call(data, max_pixels=MAX_PIXELS)
        except DataError:
            if call is pixels:
                raise


def _torchvision(data: bytes) -> None:
    import torch
    from torchvision.io import ImageReadMode, decode_image

    decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)


def _simplejpeg(data: bytes) -> None:
    import simplejpeg  # a candidate that is not installed with this package

    simplejpeg.decode_jpeg(data)


def _opencv(data: bytes) -> None:
    import cv2  # a candidate

    if cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is None:
        raise ValueError("not decoded")


def _libvips(data: bytes) -> None:
    import pyvips  # a candidate

    pyvips.Image.new_from_buffer(data, "", fail_on="error").numpy()


DECODERS: dict[str, Callable[[bytes], None]] = {
    "ours": _ours,
    "torchvision": _torchvision,
    "simplejpeg": _simplejpeg,
    "opencv": _opencv,
    "libvips": _libvips,
}
EXPECTED = {
    "ours": ("DataError",),
    "torchvision": ("RuntimeError", "ValueError"),
    "simplejpeg": ("ValueError",),
    "opencv": ("ValueError", "error"),
    "libvips": ("Error",),
}
"""Exceptions by which a decoder says that a file does not decode."""


def answer(decoder: str, data: bytes) -> str:
    """``decoded``, or the class of the exception."""
    try:
        DECODERS[decoder](data)
    except Exception as error:  # noqa: BLE001 - each class is counted
        return type(error).__name__
    return "decoded"


@dataclass
class Tally:
    """What a decoder made of mutated files of one format."""

    answers: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    """``signal 11, file 123``."""
    slowest_seconds: float = 0.0

    @property
    def files(self) -> int:
        return self.answers.total() + len(self.crashes)


def _child(decoder: str, kind: str, seed: int, first: int, last: int) -> None:
    for number in range(first, last):
        data = damaged_file(kind, seed, number)
        start = time.perf_counter()
        found = answer(decoder, data)
        print(number, found, f"{time.perf_counter() - start:.4f}", flush=True)


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """Lines of a child until it ends; one that is silent is killed."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=HANG_SECONDS)
        except queue.Empty:
            process.kill()
            process.wait()
            return
        if line is None:
            return
        yield line


def run(decoder: str, kind: str, seed: int, first: int, last: int) -> Tally:
    """Decode mutated files ``first`` to ``last``; after a crash the next process goes on behind the file."""
    tally, command = Tally(), [sys.executable, "-W", "ignore", "-m", "tests.hostile.fuzz_images", "--child"]
    while first < last:
        words = [
            "--decoder",
            decoder,
            "--format",
            kind,
            "--seed",
            str(seed),
            "--first",
            str(first),
            "--last",
            str(last),
        ]
        with subprocess.Popen(
            [*command, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as process:
            for line in _lines(process):
                number, found, seconds = line.split()
                tally.answers[found] += 1
                tally.slowest_seconds = max(tally.slowest_seconds, float(seconds))
                first = int(number) + 1
            if process.wait() != 0:
                tally.crashes.append(f"exit {process.returncode}, file {first}")
                first += 1
    return tally


def faults(decoder: str, kind: str, seed: int, tally: Tally) -> list[str]:
    """Lines about crashes, and about exceptions that are not the decoder's own."""
    where = f"{decoder}, {kind}, seed {seed}"
    wrong = [a for a in tally.answers if a not in ("decoded", *EXPECTED[decoder])]
    return [f"{where}: {crash}" for crash in tally.crashes] + [f"{where}: {tally.answers[a]} x {a}" for a in wrong]


def fuzz(seconds: float, seed: int) -> list[str]:
    """Go round the formats until the time is over; return the faults of our decoder."""
    end, first, at_once, found = time.monotonic() + seconds, 0, 500, []
    totals = {kind: Tally() for kind in FORMATS}
    while time.monotonic() < end:
        for kind in FORMATS:
            tally = run("ours", kind, seed, first, first + at_once)
            found += faults("ours", kind, seed, tally)
            totals[kind].answers += tally.answers
        first += at_once
    for kind, tally in totals.items():
        print(f"images, {kind}: {tally.files} files, {dict(tally.answers)}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decoder", choices=DECODERS, default="ours")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--last", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _child(given.decoder, given.format, given.seed, given.first, given.last)
        return 0
    tally = run(given.decoder, given.format, given.seed, 0, given.files)
    answers = ", ".join(f"{count} {name}" for name, count in tally.answers.most_common())
    print(
        f"{given.decoder}, {given.format}: {tally.files} files, {answers}, {len(tally.crashes)} crashes or hangs "
        f"{tally.crashes[:3]}, slowest {tally.slowest_seconds:.2f} s"
    )
    return 1 if faults(given.decoder, given.format, given.seed, tally) else 0


if __name__ == "__main__":
    sys.exit(main())
