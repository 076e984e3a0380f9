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

from cu_core.dist import seed_everything
from cu_core.errors import UserError
from cu_core.models.classifier import Classifier
from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.preprocess import Preprocess
from cu_core.models.towers import Towers, hugging_face_towers, open_clip_towers

Weights = Mapping[str, Tensor]
IMAGE_TEXT: Mapping[str, Callable[[str, bool], Towers]] = {
    "open_clip:": open_clip_towers,
    "transformers:": hugging_face_towers,
}
"""Where image-text models come from, by the prefix of their name."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model by name, or a user's own classifier by import path."""

    name: str = "resnet18"
    """A classifier of the MODELS table (``cu_core/models/build.py``); an image-text model, ``open_clip:NAME``,
    ``open_clip:FILE.json`` or ``transformers:FOLDER``; or ``package.module:function``, which is called with the number
    of classes."""
    image_size: int | None = None
    """Side of the model's input in pixels; ``null``: the side of the stored images."""
    stem: Literal["cifar", "imagenet"] = "cifar"
    """ResNets: ``cifar`` is a 3x3 stem without pooling, for images up to about 64 pixels."""
    width: int = 64
    """Channels of the first ResNet stage; embedding width of ``vit_mini``."""
    projection: int = 0
    """Width of a normalised projection between feature and classifier (128 in the paper); 0: none."""
    patch_size: int = 4
    """``vit_mini``: side of a patch in pixels."""
    depth: int = 4
    """``vit_mini``: number of blocks."""
    weights: str | None = None
    """Original weights: a model folder, a .safetensors or state-dict file, an MLflow model URI, or ``pretrained``."""
    key_map: Mapping[str, str] = field(default_factory=dict)
    """Prefixes of names in the weights file, and the prefixes that replace them."""
    embedding_layer: str | None = None
    """Own models: the layer whose output is the embedding."""
    hidden_layer: str | None = None
    """Own models: an earlier layer, for the probe at a second depth; ``null``: the embedding layer."""
    templates: tuple[str, ...] = ("a photo of a {class}.",)
    """Image-text models: captions that represent a class in zero-shot answers. Several are combined into one answer."""
    start: str | None = None
    """Image-text models: weights file from which the training of the original and of the oracles starts. For published
    weights use ``weights: pretrained``."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.projection < 0 or self.patch_size < 1 or self.depth < 1:
            raise UserError("width, patch_size and depth must be at least 1, projection at least 0")
        if not self.templates or not all("{class}" in t for t in self.templates):
            raise UserError("templates must be one or more captions with {class}, the place of the class name")
        if self.start and not self.reads_captions:
            raise UserError("start is for image-text models (open_clip:..., transformers:...); use model.weights")

    @property
    def reads_captions(self) -> bool:
        """Whether it is an image-text model."""
        return self.name.startswith(tuple(IMAGE_TEXT))


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


RESNETS = ("resnet10", "resnet18", "resnet34", "resnet50", "resnet101")


def _resnet(config: ModelConfig, num_classes: int, preprocess: Preprocess) -> nn.Module:
    if config.weights == "pretrained":
        return _pretrained_resnet(config, num_classes)
    from cu_core.models.resnet import WideResNet  # imports torchvision: seconds that `cu --help` need not pay

    body = WideResNet(config.name, num_classes, config.width, config.stem == "cifar", preprocess.channels)
    # 1.3x faster on CPU. With fewer channels than oneDNN's block (8 on AVX2, 16 on AVX-512) the backward pass of a
    # strided 1x1 convolution in channels-last writes past its memory.
    return body.to(memory_format=torch.channels_last) if config.width % 16 == 0 else body


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

    return VisionTransformer(  # type: ignore[no-any-return]
        img_size=preprocess.size,
        patch_size=config.patch_size,
        in_chans=preprocess.channels,
        num_classes=num_classes,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=max(1, config.width // 32),
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
    size = config.image_size or (image_shape[1] if image_shape else None)
    if size is None:
        raise UserError("model.image_size must be set for encoded images (the side in pixels that the model reads).")
    return Preprocess(size, mean, std)


def build_model(
    config: ModelConfig, class_names: Sequence[str], preprocess: Preprocess | None, seed: int
) -> Classifier:
    """Build a fresh model, initialised from ``seed``.

    ``pretrained`` weights are in it; others are loaded by ``restore``.

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
        num_classes = len(class_names)
        if config.reads_captions:
            return _image_text(config, class_names)
        assert preprocess is not None
        if ":" in config.name:
            return _own_model(config, num_classes, preprocess)
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
        return model


def _image_text(config: ModelConfig, class_names: Sequence[str]) -> ImageTextClassifier:
    prefix, _, rest = config.name.partition(":")
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
    return Classifier(build(num_classes), *layers, preprocess)


def restore(model: Classifier, weights: Weights, source: str, added: str = "") -> None:
    """Load stored weights into the model.

    Args:
        model: The model; it is changed in place. On the meta device, names and shapes are checked and nothing more.
        weights: Name -> tensor.
        source: Name of their file, for the message.
        added: Prefix that was put before the names of the file, removed again in the message.

    Raises:
        UserError: Names or shapes do not fit; the message gives the first.
    """
    own = model.state_dict()
    wrong = [
        f"{k} is {tuple(v.shape)}, must be {tuple(own[k].shape)}"
        for k, v in weights.items()
        if k in own and own[k].shape != v.shape
    ]
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if wrong or missing or unknown:
        sides = [(missing, "lacks"), (unknown, "has unknown")]
        names = [f"{how} {names[0].removeprefix(added)} and {len(names) - 1} more" for names, how in sides if names]
        what = wrong[:1] or [", ".join(names)]
        raise UserError(
            f"{source} holds another model: {what[0]}; check model.*, or map the beginnings of names with "
            f'\'model.key_map={{"theirs.": ""}}\'.'
        )
    if not next(model.parameters()).is_meta:
        model.load_state_dict(weights)


def restore_foreign(model: Classifier, config: ModelConfig, weights: Weights) -> None:
    """Load foreign weights into the model: names are mapped by ``model.key_map``, bare names belong to the body.

    Args:
        model: The model; it is changed in place.
        config: Configuration of the model.
        weights: Name -> tensor.

    Raises:
        UserError: Names or shapes do not fit, as for ``restore``.
    """
    for old, new in config.key_map.items():
        weights = {new + k.removeprefix(old) if k.startswith(old) else k: v for k, v in weights.items()}
    prefix = model.foreign_prefix
    added = "" if any(k.startswith(prefix) for k in weights) else prefix
    restore(model, {added + k: v for k, v in weights.items()}, str(config.start or config.weights), added)
