"""Pixels: augmentation that depends on (seed, step, sample_id) only, and the preprocessing a model travels with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.data.order import Rows, unit

Augment = Literal["none", "crop_flip"]
PAD = 4


def augment(images: Tensor, kind: Augment, sample_ids: Rows, seed: int, step: int) -> Tensor:
    """uint8 (N, channels, H, W) -> the same shape; ``crop_flip``: pad an eighth of the side (at most 4), random crop
    and horizontal flip (He et al. 2016)."""
    if kind == "none" or len(images) == 0:
        return images
    height, width = images.shape[-2:]
    pad = min(PAD, height // 8)
    padded = F.pad(images, (pad, pad, pad, pad))
    top, left, flip = (torch.from_numpy(unit(sample_ids, seed, step, k)) for k in range(3))
    rows = (top * (2 * pad + 1)).long()[:, None] + torch.arange(height)
    columns = (left * (2 * pad + 1)).long()[:, None] + torch.arange(width)
    columns = torch.where(flip[:, None] < 0.5, columns.flip(1), columns)
    number = torch.arange(len(images))
    cropped = padded[number[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class Preprocess:
    """uint8 images -> what the model reads; saved with every checkpoint."""

    size: int
    """Side in pixels."""
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        return len(self.mean)

    def __call__(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """uint8 (N, channels, H, W) -> (N, channels, size, size), normalised."""
        pixels = images.to(dtype) / 255
        if pixels.shape[-1] != self.size and len(pixels):
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True)
        shape = (1, self.channels, 1, 1)
        mean, std = (torch.tensor(v, dtype=dtype, device=images.device).view(shape) for v in (self.mean, self.std))
        return (pixels - mean) / std

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Preprocess:
        return cls(int(meta["size"]), tuple(meta["mean"]), tuple(meta["std"]))


