"""From stored bytes to what a model reads."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from cu_core.errors import UserError
from cu_core.models.preprocess import Preprocess, interpolation_of

PLAIN = Preprocess(4, (0.0,), (1 / 255,))
"""Leaves the bytes as they are."""
SQUARE = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)


def test_records_of_older_versions_are_read() -> None:
    old = {"size": 8, "mean": [0.5], "std": [0.25]}
    assert Preprocess.from_meta(old) == Preprocess(8, (0.5,), (0.25,), "bilinear", 1.0, False)


def test_a_record_is_read_whole() -> None:
    whole = Preprocess(8, (0.5, 0.4, 0.3), (0.25,) * 3, "bicubic", 0.875, True)
    assert Preprocess.from_meta({**dataclasses.asdict(whole), "mean": [0.5, 0.4, 0.3]}) == whole


def test_two_interpolations_are_known() -> None:
    assert [interpolation_of("m", name) for name in ("bilinear", "bicubic")] == ["bilinear", "bicubic"]
    with pytest.raises(UserError, match=r"model\.name: timm:x resizes with 'lanczos'; bilinear and bicubic"):
        interpolation_of("timm:x", "lanczos")


def test_each_channel_has_its_own_mean_and_deviation() -> None:
    images = torch.tensor([[255, 51], [51, 0]], dtype=torch.uint8).view(2, 2, 1, 1)
    found = Preprocess(1, (0.5, 0.2), (0.25, 0.4))(images, torch.float64)
    torch.testing.assert_close(found.flatten(1), torch.tensor([[2.0, 0.0], [-1.2, -0.5]], dtype=torch.float64))


def test_grey_images_become_colour_where_the_model_reads_colour() -> None:
    images = torch.tensor([[102]], dtype=torch.uint8).view(1, 1, 1, 1)
    found = Preprocess(1, (0.4, 0.2, 0.0), (1.0, 1.0, 1.0))(images)
    torch.testing.assert_close(found.flatten(), torch.tensor([0.0, 0.2, 0.4]))
    assert Preprocess(1, (0.4,), (1.0,))(images).shape == (1, 1, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_type_is_that_of_the_model(dtype: torch.dtype) -> None:
    assert PLAIN(SQUARE, dtype).dtype == dtype


def test_images_of_the_size_of_the_model_are_not_resized() -> None:
    torch.testing.assert_close(PLAIN(SQUARE), SQUARE.float())


@pytest.mark.parametrize(
    ("size", "share", "resized"), [(224, 1.0, 224), (224, 0.875, 256), (224, 0.9, 248), (6, 0.6, 10)]
)
def test_the_side_before_the_crop(size: int, share: float, resized: int) -> None:
    assert Preprocess(size, (0.0,), (1.0,), crop_share=share).resized == resized


@pytest.mark.parametrize(
    ("size", "first"),
    [(2, 1), (3, 0), (1, 2)],  # the half of an odd rest is rounded to even, as in torchvision
)
def test_the_crop_is_the_centre(size: int, first: int) -> None:
    found = Preprocess(size, (0.0,), (1 / 255,), crop_share=size / 4)(SQUARE)
    part = slice(first, first + size)
    torch.testing.assert_close(found, SQUARE[..., part, part].float())


def test_the_shorter_side_alone_is_resized_where_the_ratio_is_kept() -> None:
    """2 x 4 pixels are not resized to two: the middle is cut out. Else they are squeezed to a square."""
    wide = torch.tensor([[0, 10, 20, 30], [40, 50, 60, 70]], dtype=torch.uint8).view(1, 1, 2, 4)
    kept = Preprocess(2, (0.0,), (1 / 255,), keep_ratio=True)
    torch.testing.assert_close(kept(wide), wide[..., 1:3].float())
    torch.testing.assert_close(kept(wide.mT), wide.mT[..., 1:3, :].float())
    squeezed = Preprocess(2, (0.0,), (1 / 255,))(wide)
    assert squeezed.shape == (1, 1, 2, 2)
    assert squeezed[0, 0, 0, 0] < 10 < 20 < squeezed[0, 0, 0, 1]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_smaller_images_are_smoothed(mode: str) -> None:
    """Every pixel of a fine pattern of black and white becomes grey; without antialiasing all are of one colour."""
    pattern = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    pattern[..., ::2] = 200
    found = Preprocess(4, (0.0,), (1 / 255,), mode)(pattern)  # type: ignore[arg-type]
    assert found.mean().item() == pytest.approx(100, abs=4)
    assert (found - 100).abs().max() < 30
    wanted = F.interpolate(pattern.float(), (4, 4), mode=mode, antialias=True)
    torch.testing.assert_close(found, wanted)


def test_no_images_are_no_images() -> None:
    assert Preprocess(8, (0.5,) * 3, (0.25,) * 3)(torch.zeros(0, 1, 4, 4, dtype=torch.uint8)).shape[:2] == (0, 3)
