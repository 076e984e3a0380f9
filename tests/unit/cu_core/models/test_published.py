"""Architectures of timm, torchvision and transformers: layers by rule, preprocessing as their library computes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
import transformers
from timm.data import create_transform, resolve_data_config

from cu_core.errors import UserError
from cu_core.models.build import ModelConfig, build_model, preprocess_for
from cu_core.models.classifier import Classifier
from cu_core.models.layer_rule import find_layers
from cu_core.models.preprocess import Preprocess
from cu_core.models.published import library_of, published_body, published_preprocess
from cu_core.run import take_weights
from tests.tiny_transformers import TINY, save_tiny

CLASSES = ("cat", "dog", "bird")


def built(name: str, **more: Any) -> Classifier:
    config = ModelConfig(name=name, **more)
    return build_model(config, CLASSES, preprocess_for(config, (3, 8, 8), (0.1,) * 3, (0.1,) * 3), seed=1).eval()


@pytest.mark.parametrize(
    ("name", "size", "embedding", "hidden"),
    [
        ("timm:test_vit", 32, "head:input", "blocks.4"),
        ("timm:test_resnet", 32, "fc:input", "layer3"),
        ("timm:test_convnext", 32, "head.fc:input", "stages.2"),
        ("timm:test_efficientnet", 32, "classifier:input", "blocks.3"),
        ("timm:efficientnet_lite0", 32, "classifier:input", "blocks.4"),
        ("torchvision:squeezenet1_1", 32, "classifier.1:input", "features.10"),
        ("torchvision:mobilenet_v3_small", 32, "classifier.3:input", "features.9"),
        ("torchvision:resnet18", 32, "fc:input", "layer3"),
        ("torchvision:shufflenet_v2_x0_5", 32, "fc:input", "stage4"),
    ],
)
def test_layers_are_found_by_rule_and_can_be_set(name: str, size: int, embedding: str, hidden: str) -> None:
    model = built(name, image_size=size)
    assert model.layers == (embedding, hidden)
    images = torch.randint(256, (2, 3, size, size), dtype=torch.uint8)
    out = model(images)
    assert out.logits.shape == (2, 3)
    assert out.embedding.dim() == out.hidden.dim() == 2
    head = model.get_submodule(model.heads[-1])
    width = head.in_features if isinstance(head, torch.nn.Linear) else head.in_channels
    assert out.embedding.shape == (2, width)
    features, _ = model.at_depths(images)
    assert len(features) == len(model.depths)
    other = built(name, image_size=size, embedding_layer=hidden, hidden_layer=embedding)
    assert other.layers == (hidden, embedding)


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


def test_the_line_that_states_layers_and_preprocessing(caplog: pytest.LogCaptureFixture) -> None:
    built("timm:test_resnet", image_size=24)
    assert (
        "timm:test_resnet: embedding fc:input (what the head reads), hidden layer layer3 (the block at" in caplog.text
    )
    assert "Preprocess(size=24" in caplog.text


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "efficientnet_lite0", "vit_small_patch14_dinov2"])
def test_preprocessing_is_what_timm_records(name: str) -> None:
    found, config = published_preprocess(f"timm:{name}", None), timm.get_pretrained_cfg(name)
    assert (found.size, found.mean, found.std) == (config.input_size[-1], config.mean, config.std)
    assert (found.interpolation, found.keep_ratio) == (config.interpolation, True)
    steps = create_transform(**resolve_data_config(config.to_dict())).transforms
    assert found.resized == steps[0].size
    assert found.size == steps[1].size[0]
    assert published_preprocess(f"timm:{name}", 56).size == 56


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "efficientnet_b1", "vit_b_16"])
def test_preprocessing_is_what_torchvision_computes(name: str) -> None:
    look = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    look.antialias = True
    images = torch.rand(2, 3, 40, 70)
    torch.testing.assert_close(
        published_preprocess(f"torchvision:{name}", None)(images * 255), look(images), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("kind", TINY)
def test_preprocessing_is_what_transformers_computes(kind: str, tmp_path: Path) -> None:
    folder = save_tiny(kind, tmp_path / "m", num_labels=3)
    images = torch.randint(256, (2, 3, 32, 64)).float()
    plain = transformers.AutoImageProcessor.from_pretrained(folder)(list(images), return_tensors="pt")["pixel_values"]
    found = published_preprocess(f"transformers:{folder}", None)(images)
    torch.testing.assert_close(found, plain, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:resnet1800", "timm has no image classifier 'resnet1800'; did you mean"),
        ("torchvision:squeezenet", "torchvision has no image classifier 'squeezenet'; did you mean squeezenet1_1"),
        ("torchvision:googlenet", "has further heads in training"),
        ("timm:", "timm has no image classifier ''"),
    ],
)
def test_names_that_are_unknown_or_unfit(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        built(name, image_size=32)


def test_a_projection_and_a_size_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="model.projection is for models of the table"):
        built("timm:test_resnet", projection=4)
    folder = save_tiny("vit", tmp_path / "m", num_labels=3)
    with pytest.raises(UserError, match="model.image_size=48: .* reads images of 16 pixels"):
        built(f"transformers:{folder}", image_size=48)


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


def test_a_model_without_a_layer_of_the_classes() -> None:
    with pytest.raises(UserError, match="no linear layer or convolution with 3 outputs"):
        find_layers(torch.nn.Linear(4, 5), 3)


def test_the_class_names_go_into_the_configuration_of_transformers(tmp_path: Path) -> None:
    body: Any = published_body(f"transformers:{save_tiny('vit', tmp_path / 'm', num_labels=3)}", CLASSES, 16, False)
    assert body.model.config.id2label == dict(enumerate(CLASSES))


def test_records_of_older_versions_are_read() -> None:
    old = {"size": 8, "mean": [0.5], "std": [0.25]}
    assert Preprocess.from_meta(old) == Preprocess(8, (0.5,), (0.25,), "bilinear", 1.0, False)
