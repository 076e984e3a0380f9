"""Image classifiers of transformers of a few thousand weights, with processors of every kind."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers as t

SMALL = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16}
SWIN = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 2}
TINY: Mapping[str, tuple[Any, Any]] = {
    "vit": (t.ViTConfig(**SMALL, image_size=16, patch_size=8), t.ViTImageProcessor(size={"height": 16, "width": 16})),
    "deit": (
        t.DeiTConfig(**SMALL, image_size=16, patch_size=8),
        t.DeiTImageProcessor(size={"height": 18, "width": 18}, crop_size={"height": 16, "width": 16}),
    ),
    "beit": (
        t.BeitConfig(**SMALL, image_size=16, patch_size=8),
        t.BeitImageProcessor(
            size={"height": 18, "width": 18}, crop_size={"height": 16, "width": 16}, do_center_crop=True
        ),
    ),
    "dinov2": (
        t.Dinov2Config(**SMALL, image_size=28, patch_size=14, mlp_ratio=1),
        t.BitImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}),
    ),
    "swin": (
        t.SwinConfig(**SWIN, image_size=32, patch_size=2),
        t.ViTImageProcessor(size={"height": 32, "width": 32}, resample=3),
    ),
    "convnext": (
        t.ConvNextConfig(hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1], image_size=32),
        t.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875),
    ),
}
"""Configuration of the model, and its processor."""


def save_tiny(kind: str, folder: Path, num_labels: int) -> Path:
    """Write a folder as ``save_pretrained`` does."""
    config, processor = TINY[kind]
    config = copy.deepcopy(config)
    config.id2label = {number: str(number) for number in range(num_labels)}
    torch.manual_seed(0)
    config.architectures = ["DeiTForImageClassification"] if kind == "deit" else None
    t.AutoModelForImageClassification.from_config(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
