"""Image classifiers of transformers: outputs and preprocessing as the library computes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from cu_core.errors import UserError
from cu_core.models.build import ModelConfig, build_model, preprocess_for
from cu_core.models.classifier import Classifier
from cu_core.models.published import library_of, published_body, published_preprocess
from cu_core.run import take_weights
from tests.tiny_transformers import TINY, save_tiny

CLASSES = ("cat", "dog", "bird")


def built(name: str) -> Classifier:
    config = ModelConfig(name=name)
    return build_model(config, CLASSES, preprocess_for(config, None, (), ()), seed=1).eval()


@pytest.mark.parametrize("kind", TINY)
def test_classifiers_of_transformers(kind: str, tmp_path: Path) -> None:
    folder = save_tiny(kind, tmp_path / "m", num_labels=3)
    model = built(f"transformers:{folder}")
    take_weights(model, ModelConfig(name=f"transformers:{folder}"), str(folder), "model.start")
    assert model.layers[0] == "model.classifier:input"
    images = torch.randint(256, (2, 3, 32, 64), dtype=torch.uint8)
    plain = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        out = model(images)
        assert out.embedding.dim() == out.hidden.dim() == 2
        torch.testing.assert_close(out.logits, plain(model.preprocess(images)).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", TINY)
def test_preprocessing_is_what_transformers_computes(kind: str, tmp_path: Path) -> None:
    folder = save_tiny(kind, tmp_path / "m", num_labels=3)
    images = torch.randint(256, (2, 3, 32, 64)).float()
    plain = transformers.AutoImageProcessor.from_pretrained(folder)(list(images), return_tensors="pt")["pixel_values"]
    found = published_preprocess(f"transformers:{folder}", None)(images)
    torch.testing.assert_close(found, plain, atol=1e-4, rtol=0)


def test_folders_of_two_towers_are_none_of_these(tmp_path: Path) -> None:
    for kind, library in (("clip", None), ("vit", "transformers")):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "config.json").write_text(json.dumps({"model_type": kind, "image_size": 8}))
        assert library_of(f"transformers:{tmp_path / kind}") == library
    assert library_of("transformers:openai/clip-vit-base-patch32") is None
    assert library_of("resnet18") is None
    assert library_of("mine:build") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resample": 0}, "resizes with '0'; bilinear and bicubic are supported"),
        ({"size": {}}, "cannot be used: KeyError"),
        ({"image_mean": None}, "cannot be used: TypeError"),
        ({"size": {"shortest_edge": 20}}, "crops nothing; squares are needed"),
    ],
)
def test_processors_that_cannot_be_reproduced(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = save_tiny("vit", tmp_path / "m", num_labels=3) / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=words):
        published_preprocess(f"transformers:{path.parent}", None)
    path.unlink()
    with pytest.raises(UserError, match="no preprocessor_config.json"):
        published_preprocess(f"transformers:{path.parent}", None)


def test_the_class_names_go_into_the_configuration_of_transformers(tmp_path: Path) -> None:
    body: Any = published_body(f"transformers:{save_tiny('vit', tmp_path / 'm', num_labels=3)}", CLASSES, 16, False)
    assert body.model.config.id2label == dict(enumerate(CLASSES))


def test_another_number_of_classes_asks_for_a_new_head(tmp_path: Path) -> None:
    folder = save_tiny("vit", tmp_path / "m", num_labels=7)
    model = built(f"transformers:{folder}")
    config = ModelConfig(name=f"transformers:{folder}", start=str(folder))
    with pytest.raises(UserError, match="the head does not fit .*; model.new_head=true gives it a fresh head"):
        take_weights(model, config, str(folder), "model.start")
    take_weights(model, ModelConfig(name=config.name, start=str(folder), new_head=True), str(folder), "model.start")
