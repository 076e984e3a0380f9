"""Preprocessing of a model, saved with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Preprocess:
    """Converts uint8 images to the model's input; saved with every checkpoint."""

    size: int
    """Side in pixels."""
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """Number of channels that the model reads."""
        return len(self.mean)

    def __call__(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Resize and normalise images; grey images become colour if the model reads colour.

        Args:
            images: Values 0..255, (N, channels, H, W).
            dtype: Type of the result.

        Returns:
            (N, channels, size, size).
        """
        pixels = images.to(dtype) / 255
        if pixels.shape[1] == 1 < self.channels:
            pixels = pixels.expand(-1, self.channels, -1, -1)
        if pixels.shape[-1] != self.size and len(pixels):
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True)
        shape = (1, self.channels, 1, 1)
        mean, std = (torch.tensor(v, dtype=dtype, device=images.device).view(shape) for v in (self.mean, self.std))
        return (pixels - mean) / std

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Preprocess:
        """Read the preprocessing from a model's record."""
        return cls(int(meta["size"]), tuple(meta["mean"]), tuple(meta["std"]))
