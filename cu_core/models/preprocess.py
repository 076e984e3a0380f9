"""Preprocessing of a model, saved with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.errors import UserError
from cu_core.messages import shown_value
from cu_core.types import Interpolation


def interpolation_of(model: str, wanted: str) -> Interpolation:
    """Return the interpolation that a library records for a model.

    Raises:
        UserError: It is neither of the two.
    """
    for found in get_args(Interpolation):
        if found == wanted:
            return found  # type: ignore[no-any-return]
    raise UserError(f"model.name: {model} resizes with {wanted!r}; bilinear and bicubic are supported.")


def colours_of(look: Mapping[str, Any], name: str, unset: tuple[float, ...], source: Path) -> tuple[float, ...]:
    """Return mean or deviation of the three colours, as a library records it under ``name``; ``unset`` if it does not.

    Raises:
        UserError: It is another value than three numbers; the message names the file ``source``.
    """
    found = look.get(name) or unset
    if (
        isinstance(found, list | tuple)
        and len(found) == len(unset)
        and all(isinstance(value, int | float) for value in found)
    ):
        return tuple(found)
    raise UserError(f"{source}: {name} must be a list of {len(unset)} numbers, got {shown_value(found)}.")


@dataclass(frozen=True)
class Preprocess:
    """Converts uint8 images to the model's input; saved with every checkpoint."""

    size: int
    """Side in pixels."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bilinear"
    """How images are resized; always with antialiasing."""
    crop_share: float = 1.0
    """Share of the side that the centre crop keeps: images are resized to ``resized``, then cropped to ``size``."""
    keep_ratio: bool = False
    """Whether the shorter side alone is resized to ``resized``; if not, the image becomes a square."""

    @property
    def channels(self) -> int:
        """Number of channels that the model reads."""
        return len(self.mean)

    @property
    def resized(self) -> int:
        """Side in pixels before the crop."""
        return int(self.size / self.crop_share + 1e-6)

    def __call__(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Resize, crop and normalise images; grey images become colour if the model reads colour.

        Args:
            images: Values 0..255, (N, channels, H, W).
            dtype: Type of the result.

        Returns:
            (N, channels, size, size).
        """
        pixels = images.to(dtype) / 255
        if pixels.shape[1] == 1 < self.channels:
            pixels = pixels.expand(-1, self.channels, -1, -1)
        # An exported program takes any number of images, so it must not ask how many there are.
        if torch.compiler.is_compiling() or len(pixels):
            pixels = self._square(pixels)
        else:
            pixels = pixels.new_zeros(0, self.channels, self.size, self.size)
        shape = (1, self.channels, 1, 1)
        mean, std = (torch.tensor(v, dtype=dtype, device=images.device).view(shape) for v in (self.mean, self.std))
        return (pixels - mean) / std

    def _square(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        short = min(height, width) if self.keep_ratio else 0
        sides = [self.resized * side // short if short else self.resized for side in (height, width)]
        if [height, width] != sides:
            pixels = F.interpolate(pixels, sides, mode=self.interpolation, antialias=True)
        top, left = (round((side - self.size) / 2) for side in sides)  # as torchvision's CenterCrop
        return pixels[..., top : top + self.size, left : left + self.size]

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Preprocess:
        """Read the preprocessing from a model's record; those of older versions lack the last three fields."""
        later = {name: meta[name] for name in ("interpolation", "crop_share", "keep_ratio") if name in meta}
        return cls(int(meta["size"]), tuple(meta["mean"]), tuple(meta["std"]), **later)
