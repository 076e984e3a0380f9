"""Exported classifiers in the plain library: logits equal to ours on images that are no squares."""

from __future__ import annotations

import dataclasses
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from timm.data import create_transform, resolve_data_config
from torch import Tensor

from cu_core.models.build import ModelConfig, build_model, preprocess_for
from cu_core.models.classifier import Classifier
from pipelines.run.export_formats import write_classifier
from tests.tiny_transformers import TINY, save_tiny

CLASSES = ("cat", "dog", "bird")
IMAGES = torch.randint(256, (2, 3, 32, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def exported(folder: Path, channels: int = 3, **settings: Any) -> tuple[Classifier, ModelConfig, list[str]]:
    """A model with fresh weights whose batch statistics are not those of a fresh one, written to ``folder``."""
    config = ModelConfig(**settings)
    preprocess = preprocess_for(config, (channels, 24, 24), (0.4,) * channels, (0.3,) * channels)
    model = build_model(config, CLASSES, preprocess, seed=1).train()
    model(IMAGES[:, :channels])
    folder.mkdir()
    return model.eval(), config, write_classifier(config, model, CLASSES, folder)


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "timm:test_vit", "image_size": 32},
        {"name": "timm:test_convnext", "image_size": 40},
        {"name": "torchvision:squeezenet1_1", "image_size": 40},
        {"name": "torchvision:shufflenet_v2_x0_5"},
        {"name": "resnet18"},
        {"name": "resnet18", "stem": "imagenet"},
    ],
)
@torch.no_grad()
def test_open_py_opens_model_and_preprocessing_without_this_project(settings: Any, tmp_path: Path) -> None:
    model, _, said = exported(tmp_path / "m", **settings)
    opened = runpy.run_path(str(tmp_path / "m" / "open.py"))
    assert "cu_core" not in (tmp_path / "m" / "open.py").read_text()
    pixels = opened["preprocess"](IMAGES)
    close(pixels, model.preprocess(IMAGES))
    close(opened["model"](pixels), model(IMAGES).logits)
    assert "round and clip" in said[0]


@torch.no_grad()
def test_a_grey_resnet_opens_too(tmp_path: Path) -> None:
    model, _, _ = exported(tmp_path / "m", channels=1, name="resnet18", stem="imagenet")
    opened = runpy.run_path(str(tmp_path / "m" / "open.py"))
    close(opened["model"](opened["preprocess"](IMAGES[:, :1])), model(IMAGES[:, :1]).logits)


@pytest.mark.parametrize("settings", [{"name": "timm:test_vit", "image_size": 32}, {"name": "timm:test_resnet"}])
@torch.no_grad()
def test_timm_opens_the_folder_with_its_own_transform(settings: Any, tmp_path: Path) -> None:
    model, _, _ = exported(tmp_path / "m", **settings)
    plain = timm.create_model(f"local-dir:{tmp_path / 'm'}", pretrained=True).eval()
    transform = create_transform(**resolve_data_config({}, model=plain))
    pixels = torch.stack([transform(image / 255) for image in IMAGES])
    close(pixels, model.preprocess(IMAGES))
    close(plain(pixels), model(IMAGES).logits)


@torch.no_grad()
def test_timm_squashes_what_we_squash(tmp_path: Path) -> None:
    config = ModelConfig(name="timm:test_resnet")
    look = dataclasses.replace(preprocess_for(config, None, (), ()), keep_ratio=False)
    model = build_model(config, CLASSES, look, seed=1).eval()
    (tmp_path / "m").mkdir()
    write_classifier(config, model, CLASSES, tmp_path / "m")
    plain = timm.create_model(f"local-dir:{tmp_path / 'm'}", pretrained=True).eval()
    transform = create_transform(**resolve_data_config({}, model=plain))
    close(torch.stack([transform(image / 255) for image in IMAGES]), look(IMAGES))


@pytest.mark.parametrize("kind", TINY)
@torch.no_grad()
def test_transformers_opens_the_folder_with_its_own_processor(kind: str, tmp_path: Path) -> None:
    source = save_tiny(kind, tmp_path / "source", num_labels=3)
    model, _, _ = exported(tmp_path / "m", name=f"transformers:{source}")
    plain = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "m").eval()
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "m")
    pixels = processor(list(IMAGES.float()), return_tensors="pt")["pixel_values"]
    close(pixels, model.preprocess(IMAGES))
    close(plain(pixels).logits, model(IMAGES).logits)
    assert plain.config.id2label == dict(enumerate(CLASSES))


@pytest.mark.parametrize("settings", [{"name": "resnet10", "width": 8}, {"name": "resnet18", "projection": 4}])
def test_what_no_library_has_is_said(settings: Any, tmp_path: Path) -> None:
    _, _, said = exported(tmp_path / "m", **settings)
    assert said == [f"no library has {settings['name']} with these settings; it opens with cu_core alone."]
    assert not (tmp_path / "m" / "open.py").exists()
    assert json.loads((tmp_path / "m" / "preprocess.json").read_text())["resize"] == [24, 24]
