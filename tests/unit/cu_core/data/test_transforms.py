"""Crops and flips against a plain loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cu_core.data.order import hash_uniform
from cu_core.data.transforms import augment


def by_hand(image: torch.Tensor, number: int, seed: int, step: int, pad: int) -> torch.Tensor:
    """Where the crop begins and whether it is mirrored are three keyed uniforms of the sample_id."""
    top, left, flip = (float(hash_uniform(np.array([number]), seed, step, k)[0]) for k in range(3))
    first_row, first_column = int(top * (2 * pad + 1)) - pad, int(left * (2 * pad + 1)) - pad
    channels, height, width = image.shape
    out = torch.zeros_like(image)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                row, column = y + first_row, x + first_column
                inside = 0 <= row < height and 0 <= column < width
                place = width - 1 - x if flip < 0.5 else x
                out[c, y, place] = image[c, row, column] if inside else 0
    return out


@pytest.mark.parametrize(("side", "pad"), [(8, 1), (40, 4)])
def test_every_pixel_is_where_the_plain_loop_puts_it(side: int, pad: int) -> None:
    images = (torch.arange(6 * 2 * side * side) % 251).to(torch.uint8).view(6, 2, side, side)
    ids = np.array([5, 6, 7, 100, 101, 10**12])
    found = augment(images, "crop_flip", ids, 3, 11)
    assert found.dtype == torch.uint8
    for row, number in enumerate(ids):
        assert torch.equal(found[row], by_hand(images[row], int(number), 3, 11, pad))


def test_seed_step_and_sample_each_change_crop_and_flip() -> None:
    """Of 64 rows most differ when one of the three does: 9 crops of 3 by 3, times 2."""
    images = torch.randint(0, 255, (1, 1, 8, 8), dtype=torch.uint8).expand(64, 1, 8, 8)
    ids = np.arange(64)
    one = augment(images, "crop_flip", ids, 0, 0)
    for other in (
        augment(images, "crop_flip", ids, 1, 0),
        augment(images, "crop_flip", ids, 0, 1),
        augment(images, "crop_flip", ids + 64, 0, 0),
    ):
        same = sum(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        assert same < 15
    assert len({x.numpy().tobytes() for x in one}) >= 15  # of 18
    flips = sum(float(u) < 0.5 for u in hash_uniform(np.arange(1000), 0, 0, 2))
    assert 430 < flips < 570
