"""A classifier as files of the library that has its architecture, and the Python lines that open them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from cu_core.checkpoint import copy_weights
from cu_core.models.build import RESNETS, ModelConfig
from cu_core.models.classifier import Classifier
from cu_core.models.preprocess import Preprocess
from cu_core.models.published import needs_size

ROUNDING = (
    "Images given as float tensors are prepared exactly as here; of 8-bit images (PIL) the libraries round and clip "
    "what they resize, which changes logits slightly."
)
PILLOW = {"bilinear": 2, "bicubic": 3}


def write_classifier(config: ModelConfig, model: Classifier, class_names: Sequence[str], folder: Path) -> list[str]:
    """Write weights, preprocessing and `open.py`; returns what to say about them."""
    look = model.preprocess
    if config.library == "transformers":
        _write_transformers(model, look, folder)
        return [f"transformers: AutoModelForImageClassification.from_pretrained(FOLDER) opens the model. {ROUNDING}"]
    save_file(copy_weights(model.body.state_dict()), folder / "model.safetensors")
    (folder / "preprocess.json").write_text(json.dumps(_as_torchvision(look), indent=1))
    if config.library == "timm":
        (folder / "config.json").write_text(json.dumps(_timm_config(config, look, class_names), indent=1))
    lines = _opening(config, look, len(class_names))
    if not lines:
        return [f"no library has {config.name} with these settings; it opens with cu_core alone."]
    (folder / "open.py").write_text("\n".join([*lines, *_rest(look)]) + "\n")
    return [f"open.py opens the model and its preprocessing in plain {lines[0].split()[1]}. {ROUNDING}"]


def _as_torchvision(look: Preprocess) -> dict[str, Any]:
    """The preprocessing in the words of torchvision.transforms.v2; `size` is kept for readers of older exports."""
    resize = look.resized if look.keep_ratio else [look.resized, look.resized]
    resized = {"resize": resize, "interpolation": look.interpolation, "antialias": True, "crop": look.size}
    return {"size": look.size, "mean": look.mean, "std": look.std, **resized}


def _timm_config(config: ModelConfig, look: Preprocess, class_names: Sequence[str]) -> dict[str, Any]:
    """What ``timm.create_model("local-dir:FOLDER", pretrained=True)`` reads."""
    name = config.name.partition(":")[2]
    kept = {
        "input_size": [look.channels, look.size, look.size],
        "interpolation": look.interpolation,
        "crop_pct": look.crop_share,
        "crop_mode": "center" if look.keep_ratio else "squash",
        "mean": look.mean,
        "std": look.std,
        "num_classes": len(class_names),
    }
    sized = {"img_size": look.size} if needs_size(name, look.size) else {}
    about = {"architecture": name.partition(".")[0], "num_classes": len(class_names), "label_names": list(class_names)}
    return {**about, "pretrained_cfg": kept, "model_args": sized}


def _write_transformers(model: Classifier, look: Preprocess, folder: Path) -> None:
    from transformers import BitImageProcessor

    plain: Any = model.body
    plain.model.save_pretrained(folder)
    side = {"height": look.resized, "width": look.resized}
    BitImageProcessor(
        size={"shortest_edge": look.resized} if look.keep_ratio else side,
        crop_size={"height": look.size, "width": look.size},
        resample=PILLOW[look.interpolation],
        image_mean=list(look.mean),
        image_std=list(look.std),
        do_convert_rgb=None,
    ).save_pretrained(folder)


def _opening(config: ModelConfig, look: Preprocess, num_classes: int) -> list[str]:
    """The lines that build the architecture; none where no library has it."""
    library, _, name = config.name.partition(":")
    if config.library == "timm":
        sized = f", img_size={look.size}" if needs_size(name, look.size) else ""
        return ["import timm", f'model = timm.create_model("{name}", num_classes={num_classes}{sized})']
    of_table = library in RESNETS and config.width == 64 and not config.projection and library != "resnet10"
    if config.library != "torchvision" and not of_table:
        return []
    name = name or library
    sized = f", image_size={look.size}" if name.startswith("vit_") else ""
    lines = [
        "import torchvision",
        "import torch",
        f'model = torchvision.models.get_model("{name}", num_classes={num_classes}{sized})',
    ]
    if of_table and (config.stem == "cifar" or look.channels != 3):
        kernel, stride = (3, 1) if config.stem == "cifar" else (7, 2)
        shape = f"{look.channels}, 64, {kernel}, {stride}, {kernel // 2}, bias=False"
        lines.append(f"model.conv1 = torch.nn.Conv2d({shape})")
    if of_table and config.stem == "cifar":
        lines.append("model.maxpool = torch.nn.Identity()")
    return lines


def _rest(look: Preprocess) -> list[str]:
    """The lines that load the weights and prepare images."""
    kept = _as_torchvision(look)
    return [
        "import torch",
        "from pathlib import Path",
        "from safetensors.torch import load_file",
        "from torchvision.transforms import v2",
        'model.load_state_dict(load_file(Path(__file__).parent / "model.safetensors"))',
        "model.eval()",
        "preprocess = v2.Compose([",
        "    v2.ToImage(), v2.ToDtype(torch.float32, scale=True),",
        f"    v2.Resize({kept['resize']}, v2.InterpolationMode.{look.interpolation.upper()}, antialias=True),",
        f"    v2.CenterCrop({look.size}), v2.Normalize({list(look.mean)}, {list(look.std)}),",
        "])",
    ]
