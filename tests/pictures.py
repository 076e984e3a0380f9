"""Small pictures and their files, for tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def picture(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Waves with noise, RGB."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([127 + 90 * np.sin(x / 5 + c) * np.cos(y / 7 - c) for c in range(3)], -1)
    return Image.fromarray((waves + rng.normal(0, 12, waves.shape)).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey_file(value: int, kind: str = "png", size: tuple[int, int] = (12, 12)) -> bytes:
    """Image of one colour."""
    return encoded(Image.new("RGB", size, (value, value, value)), kind)
