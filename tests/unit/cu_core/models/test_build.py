"""From a model's configuration to a model, and what is refused before a weight is made."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from cu_core.errors import UserError
from cu_core.models.build import MODELS, ModelConfig, build_model, preprocess_for, reads_captions
from cu_core.models.classifier import Classifier
from cu_core.models.preprocess import Preprocess

GREY = Preprocess(8, (0.5,), (0.25,))
CLASSES = ("cat", "dog", "bird")


def built(name: str, preprocess: Preprocess = GREY, seed: int = 0, **settings: Any) -> Classifier:
    return build_model(ModelConfig(name=name, **settings), CLASSES, preprocess, seed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width, patch_size and depth must be at least 1"),
        ({"patch_size": 0}, "width, patch_size and depth must be at least 1"),
        ({"depth": 0}, "width, patch_size and depth must be at least 1"),
        ({"projection": -1}, "projection at least 0"),
        ({"templates": ()}, "templates must be one or more captions with {class}"),
        ({"templates": ("a {class}", "a thing")}, "templates must be one or more captions with {class}"),
        ({"new_head": True}, r"new_head is for training that begins at model\.start=FILE"),
        ({"new_head": True, "weights": "some.pt"}, r"new_head is for training that begins at model\.start=FILE"),
        ({"new_head": True, "start": "x.pt", "name": "open_clip:ViT-B-32"}, "an image-text model has no head"),
        (
            {"embedding_layer": "fc"},
            "are for own and published classifiers, not resnet18",
        ),
        ({"hidden_layer": "fc"}, "embedding_layer and hidden_layer are for own and published"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ModelConfig(**settings)


def test_settings_at_their_least_are_taken() -> None:
    ModelConfig(width=1, patch_size=1, depth=1, projection=0)
    assert ModelConfig(new_head=True, start="x.pt").new_head
    assert ModelConfig(new_head=True, weights="pretrained").new_head
    assert ModelConfig(name="own.models:net", embedding_layer="fc").embedding_layer == "fc"


@pytest.mark.parametrize(
    ("name", "captions", "library"),
    [
        ("resnet18", False, None),
        ("open_clip:ViT-B-32", True, None),
        ("transformers:some/clip", True, None),
        ("timm:resnet18", False, "timm"),
        ("torchvision:resnet18", False, "torchvision"),
        ("own.models:open_clip", False, None),
    ],
)
def test_what_a_name_tells(name: str, captions: bool, library: str | None) -> None:
    config = ModelConfig(name=name)
    assert (reads_captions(name), config.reads_captions, config.library) == (captions, captions, library)


def test_the_size_is_that_of_the_configuration_else_of_the_stored_images() -> None:
    stored: tuple[int, int, int] = (1, 12, 16)
    assert preprocess_for(ModelConfig(), stored, (0.5,), (0.25,)) == Preprocess(12, (0.5,), (0.25,))
    assert preprocess_for(ModelConfig(image_size=20), stored, (0.5,), (0.25,)).size == 20
    assert preprocess_for(ModelConfig(image_size=20), None, (0.5,), (0.25,)).size == 20
    with pytest.raises(UserError, match=r"model\.image_size must be set for encoded images"):
        preprocess_for(ModelConfig(), None, (0.5,), (0.25,))


def test_an_unknown_name_is_answered_with_the_table() -> None:
    with pytest.raises(UserError, match=f"unknown model 'resnet19'; models: {', '.join(MODELS)}, or package"):
        built("resnet19")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch_size": 3}, r"model\.patch_size: images of 8 pixels must divide into patches of 3"),
        ({"width": 100}, r"model\.width: 100 cannot be divided into heads of about 32"),
    ],
    ids=str,
)
def test_a_transformer_that_does_not_divide(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        built("vit_mini", **settings)


@pytest.mark.parametrize(
    ("depth", "hidden", "depths"),
    [
        (8, "blocks.5", ("blocks.1", "blocks.3", "blocks.5")),
        (4, "blocks.2", ("blocks.0", "blocks.1", "blocks.2")),
        (2, "blocks.0", ("blocks.0",)),
        (1, "blocks.0", ("blocks.0",)),
    ],
)
def test_quarters_of_the_depth(depth: int, hidden: str, depths: tuple[str, ...]) -> None:
    model = built("vit_mini", width=8, depth=depth)
    assert model.layers == ("head_drop", hidden)
    assert model.depths == depths


def test_a_projection_lies_before_the_head() -> None:
    plain, projected = built("resnet10", width=4), built("resnet10", width=4, projection=5)
    assert (plain.layers, plain.heads) == (("avgpool", "layer3"), ("body.fc",))
    assert (projected.layers, projected.heads) == (("fc.1", "layer3"), ("body.fc",))
    shapes = [tuple(m.weight.shape) for m in projected.body.get_submodule("fc").modules() if isinstance(m, nn.Linear)]
    width = plain.body.get_submodule("fc").in_features
    assert shapes == [(5, width), (3, 5)]


def test_weights_are_of_the_seed_and_leave_the_generator_as_it_was() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    states = [built("resnet10", seed=seed, width=4).state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(3), wanted)
    assert all(torch.equal(v, states[1][k]) for k, v in states[0].items())
    assert not torch.equal(states[0]["body.fc.weight"], states[2]["body.fc.weight"])


@pytest.mark.parametrize("settings", [{"stem": "cifar"}, {"stem": "imagenet", "width": 32}], ids=str)
def test_published_weights_of_a_resnet_need_its_shape(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"needs model\.stem=imagenet and model\.width=64"):
        built("resnet18", weights="pretrained", **settings)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """``own_models:net``: of eight by eight pixels."""
    module = ModuleType("own_models")
    module.net = lambda classes: nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, classes))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_models", module)


@pytest.mark.usefixtures("own")
def test_an_own_model_is_called_with_the_number_of_classes() -> None:
    model = built("own_models:net", embedding_layer="2")
    assert model.layers == ("2", "2")
    assert model.heads == ("body.3",)
    out = model(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    assert (out.logits.shape, out.embedding.shape) == ((2, 3), (2, 5))
    assert built("own_models:net", embedding_layer="2", hidden_layer="1").layers == ("2", "1")


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("own_models:net", {}, r"model\.embedding_layer must name the layer of own_models:net"),
        ("own_models:nothing", {"embedding_layer": "2"}, r"model\.name: 'own_models:nothing' cannot be imported"),
        ("no_such_package:net", {"embedding_layer": "2"}, "cannot be imported: No module named 'no_such_package'"),
        ("own_models:net", {"embedding_layer": "9"}, "the model has no layer '9'; its layers: 0, 1, 2, 3"),
    ],
)
def test_an_own_model_that_cannot_be_built(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        built(name, **settings)
