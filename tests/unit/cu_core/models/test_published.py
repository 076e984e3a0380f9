"""Architectures of timm, torchvision and transformers: layers by rule, preprocessing as their library computes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from timm.data import create_transform, resolve_data_config

from cu_core.errors import UserError
from cu_core.models.build import ModelConfig, build_model, preprocess_for
from cu_core.models.classifier import Classifier
from cu_core.models.published import has_layer_norm, published_preprocess
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


@pytest.mark.parametrize(
    "name",
    ["resnet18", "vit_b_32", "swin_t", "swin_v2_t", "convnext_tiny", "maxvit_t", "efficientnet_b0", "squeezenet1_1"],
)
def test_families_with_layer_norm_are_known_by_name(name: str) -> None:
    with torch.device("meta"):
        modules = {type(module).__name__ for module in torchvision.models.get_model(name, num_classes=3).modules()}
    layer_norm = bool({"LayerNorm", "LayerNorm2d"} & modules) and "BatchNorm2d" not in modules
    assert has_layer_norm(f"torchvision:{name}") == layer_norm


@pytest.mark.parametrize("name", ["levit_128s", "mobilevit_xxs", "deit_tiny_patch16_224", "mixer_s32_224", "resnet18"])
def test_families_of_timm_are_known_by_name(name: str) -> None:
    with torch.device("meta"):
        modules = [type(module).__name__ for module in timm.create_model(name).modules()]
    assert has_layer_norm(f"timm:{name}") == (not any("BatchNorm" in one for one in modules))


@pytest.mark.parametrize("kind", TINY)
def test_a_folder_of_transformers_says_its_family(kind: str, tmp_path: Path) -> None:
    assert has_layer_norm(f"transformers:{save_tiny(kind, tmp_path / 'model', 3)}")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace(f'"model_type": "{kind}"', '"model_type": "resnet"'))
    assert not has_layer_norm(f"transformers:{tmp_path / 'model'}")
    assert not has_layer_norm(f"transformers:{tmp_path / 'absent'}")


@pytest.mark.parametrize(("name", "expected"), [("vit_mini", True), ("resnet10", False), ("vit.nets:build", False)])
def test_our_own_and_a_users_models(name: str, expected: bool) -> None:
    assert has_layer_norm(name) == expected
