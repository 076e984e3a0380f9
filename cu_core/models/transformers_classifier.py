"""Image classifiers of transformers, from a folder that ``save_pretrained`` wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cu_core.errors import UserError
from cu_core.messages import reason_of
from cu_core.models.preprocess import Preprocess, interpolation_of
from cu_core.weights_file import FILES, META, read_json_object, read_weights

CONFIG = "config.json"
PAIRS = ("clip", "siglip", "metaclip_2", "siglip2")
"""Models with two towers."""
RESAMPLE = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the interpolations that are supported."""
ANY_SIZE = ("convnext", "convnextv2", "resnet", "regnet", "mobilenet_v1", "mobilenet_v2", "efficientnet", "bit")
"""Convolutional models, which read images of any size."""


class LogitsOnly(nn.Module):
    """A classifier of transformers as a plain module: normalised images to logits."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute logits, (N, C)."""
        return self.model(pixel_values=pixels).logits  # type: ignore[no-any-return]


def family_of(folder: str) -> object:
    """Return the family of models that a folder names, e.g. ``vit``; ``None`` if it names none."""
    path = Path(folder) / CONFIG
    return read_json_object(path).get("model_type") if path.is_file() else None


def is_image_classifier(folder: str) -> bool:
    """Return whether a folder holds an image classifier; a name that is no folder counts as an image-text model."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        return False
    config = read_json_object(path)
    if any("ForImageClassification" in str(a) for a in config.get("architectures") or ()):
        return True
    return config.get("model_type") not in PAIRS and "image_size" in config or "num_channels" in config


def transformers_preprocess(folder: str) -> Preprocess:
    """Return what the folder's image processor does.

    Raises:
        UserError: There is none, or it cannot be reproduced.
    """
    config = read_json_object(Path(folder) / CONFIG)
    side = config.get("image_size") or 224
    size = int(side[0] if isinstance(side, list) else side)
    path = Path(folder) / "preprocessor_config.json"
    if not path.is_file():
        raise UserError(f"{folder} has no preprocessor_config.json: how its images are prepared is not known.")
    look = read_json_object(path)
    try:
        return _look_of_transformers(folder, look, size)
    except (TypeError, KeyError, AttributeError, ZeroDivisionError, IndexError) as error:
        raise UserError(f"{path} cannot be used: {type(error).__name__} {error}.") from error


def _look_of_transformers(folder: str, look: Mapping[str, Any], size: int) -> Preprocess:
    """The reading of every image processor of transformers that resizes, crops and normalises."""
    sides = look.get("size", size)
    sides = {"height": sides} if isinstance(sides, int) else sides
    keeps = "shortest_edge" in sides
    resized = int(sides["shortest_edge"] if keeps else sides["height"])
    crop = look.get("crop_size", resized)
    cropped = int(crop if isinstance(crop, int) else crop["height"]) if look.get("do_center_crop") else resized
    share = cropped / resized
    if "crop_pct" in look and keeps:  # ConvNeXT: the size is that of the crop; large images are not cropped
        keeps = resized < 384
        share = (look["crop_pct"] or 224 / 256) if keeps else 1.0
    elif keeps and not look.get("do_center_crop"):
        raise UserError(f"{folder}: its processor resizes the shorter side and crops nothing; squares are needed.")
    factor = 255 * (look.get("rescale_factor", 1 / 255) if look.get("do_rescale", True) else 1)
    normalises = look.get("do_normalize", True)
    mean = look["image_mean"] if normalises else (0.0,) * 3
    std = look["image_std"] if normalises else (1.0,) * 3
    interpolation = interpolation_of(folder, RESAMPLE.get(look.get("resample", 2), str(look.get("resample"))))
    means, stds = tuple(float(m) / factor for m in mean), tuple(float(s) / factor for s in std)
    return Preprocess(cropped, means, stds, interpolation, share, keeps)


def transformers_body(name: str, class_names: Sequence[str], size: int) -> nn.Module:
    """Build the architecture of a folder, with fresh weights and a head for these classes.

    Raises:
        UserError: It is no image classifier, or reads images of another size.
    """
    from transformers import AutoModelForImageClassification

    config = _transformers_config(name, class_names)
    try:
        model = AutoModelForImageClassification.from_config(config)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        raise UserError(f"model.name: {name} holds no image classifier: {reason_of(error)}") from error
    side = getattr(config, "image_size", size)
    if size not in (side if isinstance(side, list | tuple) else (side,)) and config.model_type not in ANY_SIZE:
        raise UserError(f"model.image_size={size}: {name} reads images of {side} pixels.")
    return LogitsOnly(model)


def _transformers_config(folder: str, class_names: Sequence[str]) -> Any:
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"model.name: {folder} cannot be loaded: {str(error).splitlines()[0][:200]}") from error
    config.id2label = dict(enumerate(class_names))
    config.label2id = {name: number for number, name in enumerate(class_names)}
    return config


def folder_of_transformers(weights: str) -> Path | None:
    """Return the folder that ``save_pretrained`` wrote of which ``weights`` is the folder or the file."""
    path = Path(weights)
    folder = path.parent if path.name in FILES else path
    return folder if (folder / CONFIG).is_file() and not (folder / META).exists() else None


def weights_of_transformers(folder: Path) -> dict[str, Tensor]:
    """Read a folder's weights under the names of this version of transformers, which renames stored ones."""
    from transformers import AutoModelForImageClassification

    read_weights(folder)  # damaged files are told in one line
    config = _transformers_config(str(folder), ())
    stored = read_json_object(folder / CONFIG).get("id2label") or {0: "", 1: ""}
    config.id2label = {int(number): str(name) for number, name in stored.items()}
    with torch.random.fork_rng(devices=[]):
        model, about = AutoModelForImageClassification.from_pretrained(
            folder, config=config, local_files_only=True, ignore_mismatched_sizes=True, output_loading_info=True
        )
    absent = {*about["missing_keys"], *(key[0] for key in about["mismatched_keys"])}
    return {name: value for name, value in model.state_dict().items() if name not in absent}
