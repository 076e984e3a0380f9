"""Augmentation that depends on (seed, step, sample_id) only."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.data.order import Rows, hash_uniform

Augment = Literal["none", "crop_flip"]
PAD = 4


def augment(images: Tensor, kind: Augment, sample_ids: Rows, seed: int, step: int) -> Tensor:
    """Augment images; every draw depends on ``seed``, ``step`` and the sample_id only.

    Args:
        images: uint8 (N, channels, H, W).
        kind: ``crop_flip`` pads an eighth of the side (at most 4), then crops at random and flips horizontally at
            random (He et al. 2016).
        sample_ids: (N,).
        seed: Seed of the run.
        step: Number of the step.

    Returns:
        uint8 of the same shape.
    """
    if kind == "none" or len(images) == 0:
        return images
    height, width = images.shape[-2:]
    pad = min(PAD, height // 8)
    padded = F.pad(images, (pad, pad, pad, pad))
    top, left, flip = (torch.from_numpy(hash_uniform(sample_ids, seed, step, k)) for k in range(3))
    rows = (top * (2 * pad + 1)).long()[:, None] + torch.arange(height)
    columns = (left * (2 * pad + 1)).long()[:, None] + torch.arange(width)
    columns = torch.where(flip[:, None] < 0.5, columns.flip(1), columns)
    number = torch.arange(len(images))
    cropped = padded[number[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2).contiguous()
