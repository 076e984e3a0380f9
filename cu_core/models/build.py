"""Model configuration -> Classifier with weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.error import URLError

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cu_core.bounds import Depth, Pixels, Width, WidthOrNone
from cu_core.dist import seed_everything
from cu_core.environment import say
from cu_core.errors import UserError
from cu_core.models.classifier import Classifier
from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.layer_rule import find_layers, heads_of
from cu_core.models.memory_format import choose_memory_format
from cu_core.models.preprocess import Preprocess
from cu_core.models.published import library_of, published_body, published_preprocess
from cu_core.models.published_towers import published_towers
from cu_core.models.towers import Towers, open_clip_towers
from cu_core.models.transformers_towers import hugging_face_towers

IMAGE_TEXT: Mapping[str, Callable[[str, bool], Towers]] = {
    "open_clip:": open_clip_towers,
    "transformers:": hugging_face_towers,
}
"""Where image-text models come from, by the prefix of their name."""


def reads_captions(name: str) -> bool:
    """Return whether a model's name is that of an image-text model."""
    return name.startswith(tuple(IMAGE_TEXT)) and library_of(name) is None


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model by name, or a user's own classifier by import path."""

    name: str = "resnet18"
    """A classifier of the MODELS table (``cu_core/models/build.py``); a published one, ``timm:NAME``,
    ``torchvision:NAME`` or ``transformers:FOLDER``; an image-text model, ``open_clip:NAME``, ``open_clip:FILE.json`` or
    ``transformers:FOLDER``; or ``package.module:function``, which is called with the number of classes."""
    image_size: Pixels | None = None
    """Side of the model's input in pixels; ``null``: that of a published classifier, else of the stored images."""
    stem: Literal["cifar", "imagenet"] = "cifar"
    """ResNets: ``cifar`` is a 3x3 stem without pooling, for images up to about 64 pixels."""
    width: Width = 64
    """Channels of the first ResNet stage; embedding width of ``vit_mini``."""
    projection: WidthOrNone = 0
    """Width of a normalised projection between feature and classifier (128 in the paper); 0: none."""
    patch_size: Pixels = 4
    """``vit_mini``: side of a patch in pixels."""
    depth: Depth = 4
    """``vit_mini``: number of blocks."""
    weights: str | None = None
    """Original weights: a model folder, a .safetensors or state-dict file, an MLflow model URI, or ``pretrained``."""
    weights_key: str | None = None
    """Place of the state dict within the weights file if it holds several, e.g. ``ema`` or ``teacher.model``."""
    new_head: bool = False
    """Whether the head is fresh and that of ``start`` or of ``pretrained`` is left out, e.g. for other classes."""
    key_map: Mapping[str, str] = field(default_factory=dict)
    """Prefixes of names in the weights file, and the prefixes that replace them."""
    embedding_layer: str | None = None
    """Own and published classifiers: the layer whose output is the embedding; ``NAME:input``: what it reads. Published
    ones have a rule."""
    hidden_layer: str | None = None
    """The same: an earlier layer, for the probe at a second depth; ``null``: own models' embedding layer."""
    image_tower: str | None = None
    """``open_clip:FILE.json``: folder of a published image tower that timm loads. The projection is fresh."""
    text_tower: str | None = None
    """The same: folder of a published text tower of transformers, with its tokenizer."""
    templates: tuple[str, ...] = ("a photo of a {class}.",)
    """Image-text models: captions that represent a class in zero-shot answers. Several are combined into one answer."""
    start: str | None = None
    """Weights file from which the training of the original and of the oracles starts. For weights that a library
    publishes use ``weights: pretrained``."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.projection < 0 or self.patch_size < 1 or self.depth < 1:
            raise UserError("width, patch_size and depth must be at least 1, projection at least 0")
        if not self.templates or not all("{class}" in t for t in self.templates):
            raise UserError("templates must be one or more captions with {class}, the place of the class name")
        if self.new_head and not (self.start or self.weights == "pretrained"):
            raise UserError("new_head is for training that begins at model.start=FILE or model.weights=pretrained")
        if self.new_head and self.reads_captions:
            raise UserError("new_head is for classifiers; an image-text model has no head")
        if (self.image_tower is None) != (self.text_tower is None):
            raise UserError("image_tower and text_tower must be given together")
        if self.image_tower and not (self.name.startswith("open_clip:") and self.name.endswith(".json")):
            raise UserError(f"image_tower and text_tower are for open_clip:FILE.json, not {self.name}")
        if self.image_tower and self.weights == "pretrained":
            raise UserError(
                "weights=pretrained has no effect beside image_tower and text_tower, whose weights are loaded"
            )
        layers = (self.embedding_layer, self.hidden_layer)
        if any(layers) and ":" not in self.name:
            raise UserError(f"embedding_layer and hidden_layer are for own and published classifiers, not {self.name}")

    @property
    def reads_captions(self) -> bool:
        """Whether it is an image-text model."""
        return reads_captions(self.name)

    @property
    def library(self) -> str | None:
        """Library of a published classifier; ``None`` for other models."""
        return library_of(self.name)


@dataclass(frozen=True)
class ModelEntry:
    """A row of the MODELS table."""

    build: Callable[[ModelConfig, int, Preprocess], nn.Module]
    embedding_layer: str
    hidden_layer: str
    head: str
    """Name of the final linear layer, for a projection in front of it."""
    summary: str
    depths: tuple[str, ...]
    """Layers at one, two and three quarters of the depth."""


HEAD_WIDTH = 32
"""Width of an attention head of ``vit_mini``."""
RESNETS = ("resnet10", "resnet18", "resnet34", "resnet50", "resnet101")


def _resnet(config: ModelConfig, num_classes: int, preprocess: Preprocess) -> nn.Module:
    if config.weights == "pretrained":
        return _pretrained_resnet(config, num_classes)
    from cu_core.models.resnet import WideResNet  # imports torchvision: seconds that `cu --help` need not pay

    return WideResNet(config.name, num_classes, config.width, config.stem == "cifar", preprocess.channels)


def _pretrained_resnet(config: ModelConfig, num_classes: int) -> nn.Module:
    from torchvision.models import get_model

    if config.stem != "imagenet" or config.width != 64:
        raise UserError("model.weights=pretrained needs model.stem=imagenet and model.width=64.")
    try:
        body: nn.Module = get_model(config.name, weights="DEFAULT")
    except (URLError, OSError, ValueError) as error:
        raise UserError(
            f"pretrained weights of {config.name} could not be fetched ({error}); set model.weights to a local file."
        ) from error
    old = body.get_submodule("fc")
    assert isinstance(old, nn.Linear)
    body.fc = nn.Linear(old.in_features, num_classes)
    return body


def _vit_mini(config: ModelConfig, num_classes: int, preprocess: Preprocess) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    if preprocess.size % config.patch_size:
        raise UserError(
            f"model.patch_size: images of {preprocess.size} pixels must divide into patches of {config.patch_size}."
        )
    if config.width % max(1, config.width // HEAD_WIDTH):
        raise UserError(
            f"model.width: {config.width} cannot be divided into heads of about {HEAD_WIDTH}; take a multiple of that."
        )
    return VisionTransformer(  # type: ignore[no-any-return]
        img_size=preprocess.size,
        patch_size=config.patch_size,
        in_chans=preprocess.channels,
        num_classes=num_classes,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=max(1, config.width // HEAD_WIDTH),
        mlp_ratio=2.0,
    )


def _vit_small(config: ModelConfig, num_classes: int, preprocess: Preprocess) -> nn.Module:
    import timm

    pretrained = config.weights == "pretrained"
    try:
        body: nn.Module = timm.create_model(
            "vit_small_patch16_224",
            pretrained=pretrained,
            num_classes=num_classes,
            img_size=preprocess.size,
            in_chans=preprocess.channels,
        )
        return body
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"vit_small could not be built ({error}); without a network set model.weights to a local file."
        ) from error


_QUARTERS = ("blocks.{0}", "blocks.{1}", "blocks.{2}")
"""Of a transformer whose depth is a setting."""
MODELS: dict[str, ModelEntry] = {
    **{
        name: ModelEntry(
            _resnet,
            "avgpool",
            "layer3",
            "fc",
            f"torchvision {name}" if name != "resnet10" else "ResNet with one block a stage, for small trials",
            ("layer1", "layer2", "layer3"),
        )
        for name in RESNETS
    },
    "vit_mini": ModelEntry(_vit_mini, "head_drop", "blocks.{2}", "head", "small-image ViT (timm)", _QUARTERS),
    "vit_small": ModelEntry(
        _vit_small, "head_drop", "blocks.8", "head", "timm vit_small_patch16_224", ("blocks.2", "blocks.5", "blocks.8")
    ),
}


class _Normalise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1)


def preprocess_for(
    config: ModelConfig, image_shape: tuple[int, int, int] | None, mean: tuple[float, ...], std: tuple[float, ...]
) -> Preprocess:
    """Build the preprocessing of a model.

    Args:
        config: Configuration of the model.
        image_shape: (channels, H, W) of stored tensors; ``None`` for encoded images.
        mean: Mean of each channel, of pixels in 0..1.
        std: Standard deviation of each channel.

    Returns:
        The preprocessing.

    Raises:
        UserError: The images are encoded and no size is given.
    """
    if config.library:
        return published_preprocess(config.name, config.image_size)
    size = config.image_size or (image_shape[1] if image_shape else None)
    if size is None:
        raise UserError("model.image_size must be set for encoded images (the side in pixels that the model reads).")
    return Preprocess(size, mean, std)


def build_model(
    config: ModelConfig, class_names: Sequence[str], preprocess: Preprocess | None, seed: int
) -> Classifier:
    """Build a fresh model, initialised from ``seed``.

    Weights that a library publishes are in it if the configuration asks for them; those of files are not.

    Args:
        config: Configuration of the model.
        class_names: Names of the classes.
        preprocess: The preprocessing; ``None`` for image-text models, which have their own.
        seed: Seed of the initialisation.

    Returns:
        The model.

    Raises:
        UserError: The model is unknown (the message lists the models), or an own model lacks something.
    """
    with torch.random.fork_rng(devices=[]):
        seed_everything(seed)
        if config.reads_captions:
            return _image_text(config, class_names)
        assert preprocess is not None
        model = _classifier(config, class_names, preprocess)
        choose_memory_format(model.body, preprocess.channels)
        return model


def _classifier(config: ModelConfig, class_names: Sequence[str], preprocess: Preprocess) -> Classifier:
    if config.library:
        return _published(config, class_names, preprocess)
    if ":" in config.name:
        return _own_model(config, len(class_names), preprocess)
    return _from_table(config, len(class_names), preprocess)


def _from_table(config: ModelConfig, num_classes: int, preprocess: Preprocess) -> Classifier:
    if config.name not in MODELS:
        raise UserError(
            f"model.name: unknown model {config.name!r}; models: {', '.join(MODELS)}, or package.module:function."
        )
    entry = MODELS[config.name]
    body = entry.build(config, num_classes, preprocess)
    embedding = entry.embedding_layer
    if config.projection:
        head = body.get_submodule(entry.head)
        assert isinstance(head, nn.Linear)
        parts = (
            nn.Linear(head.in_features, config.projection),
            _Normalise(),
            nn.Linear(config.projection, num_classes),
        )
        setattr(body, entry.head, nn.Sequential(*parts))
        embedding = f"{entry.head}.1"
    quarters = [max(0, part * config.depth // 4 - 1) for part in (1, 2, 3)]
    model = Classifier(body, embedding, entry.hidden_layer.format(*quarters), preprocess)
    model.depths = tuple(dict.fromkeys(layer.format(*quarters) for layer in entry.depths))
    model.heads = (f"body.{entry.head}",)
    return model


def _published(config: ModelConfig, class_names: Sequence[str], preprocess: Preprocess) -> Classifier:
    if config.projection:
        raise UserError(f"model.projection is for models of the table ({', '.join(MODELS)}), not {config.name}.")
    body = published_body(config.name, class_names, preprocess.size, config.weights == "pretrained")
    found = find_layers(body, len(class_names))
    layers = config.embedding_layer or found.embedding, config.hidden_layer or found.depths[-1]
    model = Classifier(body, *layers, preprocess)
    model.depths, model.heads = found.depths, tuple(f"body.{head}" for head in found.heads)
    if config.library == "transformers":
        model.foreign_prefix = "body.model."
    say(f"{config.name}: {found.chosen(*layers)}; {preprocess}")
    return model


def _image_text(config: ModelConfig, class_names: Sequence[str]) -> ImageTextClassifier:
    prefix, _, rest = config.name.partition(":")
    if config.image_tower and config.text_tower:
        return ImageTextClassifier(
            published_towers(rest, config.image_tower, config.text_tower), class_names, config.templates
        )
    towers = IMAGE_TEXT[f"{prefix}:"](rest, config.weights == "pretrained")
    return ImageTextClassifier(towers, class_names, config.templates)


def _own_model(config: ModelConfig, num_classes: int, preprocess: Preprocess) -> Classifier:
    module_name, _, function = config.name.partition(":")
    if config.embedding_layer is None:
        raise UserError(f"model.embedding_layer must name the layer of {config.name} whose output is the embedding.")
    try:
        build = getattr(importlib.import_module(module_name), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"model.name: {config.name!r} cannot be imported: {error}.") from error
    layers = config.embedding_layer, config.hidden_layer or config.embedding_layer
    model = Classifier(build(num_classes), *layers, preprocess)
    model.heads = tuple(f"body.{head}" for head in heads_of(model.body, num_classes))
    return model
