"""A dual encoder of published towers: an image tower of timm and a text tower of transformers, with a head of its own.

It is open_clip's ``CustomTextCLIP``. Towers lie in folders; their weights are loaded when the model is built, and the
projection into the common space starts fresh.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from cu_core.errors import UserError
from cu_core.messages import reason_of
from cu_core.models.towers import OpenClip, Tower
from cu_core.weights_file import read_json_object

CONFIG = "config.json"
LOCAL = "local-dir:"
IMAGE, TEXT, OPENER = "image_tower", "text_tower", "open.py"
"""In an exported folder: the configurations of the towers, and the program that opens it."""
OPENING = f"""# Opens this folder in plain open_clip, wherever it lies: model, preprocess, tokenizer.
import json
from pathlib import Path

import open_clip

FOLDER = Path(__file__).resolve().parent
config = json.loads((FOLDER / "open_clip_config.json").read_text())["model_cfg"]
towers = {{
    "vision_cfg": {{**config["vision_cfg"], "timm_model_name": f"{LOCAL}{{FOLDER / '{IMAGE}'}}"}},
    "text_cfg": {{**config["text_cfg"], "hf_model_name": str(FOLDER / "{TEXT}")}},
}}
model, _, preprocess = open_clip.create_model_and_transforms(f"{LOCAL}{{FOLDER}}", **towers)
model.eval()
tokenizer = open_clip.get_tokenizer(f"{LOCAL}{{FOLDER}}")
"""
UNUSABLE = (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ImportError)
"""What open_clip, timm and transformers raise for configurations and folders that they cannot use."""
CONTEXT = 32
"""Tokens of a caption, where the configuration names no number."""


class PublishedTowers(OpenClip):
    """An image tower of timm and a text tower of transformers."""

    linear_layers = (*OpenClip.linear_layers, "query", "key", "value", "dense")

    def blocks(self, tower: Tower) -> list[nn.Module]:
        """Blocks of the image tower, and layers of the text tower's encoder.

        Raises:
            UserError: The text tower has no such layers.
        """
        if tower == "image":
            return super().blocks(tower)
        inside: Any = self.body.get_submodule("text.transformer")
        layers = getattr(getattr(inside, "encoder", inside), "layer", None)
        if layers is None:
            raise UserError(f"model.text_tower: a {type(inside).__name__} has no encoder with layers, as BERT has.")
        return list(layers)

    def heads(self, tower: Tower) -> list[nn.Parameter]:
        """``visual.head``; ``text.proj``, which a text tower of the width of the common space may lack."""
        start = "visual.head." if tower == "image" else "text.proj."
        return [p for name, p in self.body.named_parameters() if name.startswith(start)]

    def export(self, folder: Path) -> None:
        """Write a folder with the weights, the configurations of the towers, the tokenizer, and ``OPENER``.

        open_clip resolves a path of a tower from the working directory. The configuration names them as they lie in the
        folder: ``local-dir:.`` opens it inside the folder, ``OPENER`` from anywhere.
        """
        super().export(folder)
        image, text = self.config["vision_cfg"]["timm_model_name"], self.config["text_cfg"]["hf_model_name"]
        for tower, place in ((IMAGE, image.removeprefix(LOCAL)), (TEXT, text)):
            (folder / tower).mkdir(exist_ok=True)
            shutil.copy(Path(place) / CONFIG, folder / tower / CONFIG)
        tokenizer: Any = self.tokenize
        tokenizer.save_pretrained(str(folder))
        (folder / OPENER).write_text(OPENING)

    @property
    def exported_config(self) -> Mapping[str, Any]:
        """The configuration, with the towers' folders inside the exported folder."""
        image = {**self.config["vision_cfg"], "timm_model_name": f"{LOCAL}{IMAGE}"}
        text = {**self.config["text_cfg"], "hf_model_name": TEXT, "hf_tokenizer_name": TEXT}
        return {**self.config, "vision_cfg": image, "text_cfg": text}


def published_towers(name: str, image_tower: str, text_tower: str) -> PublishedTowers:
    """Build the model.

    Args:
        name: JSON file with a configuration of open_clip that names no towers.
        image_tower: Folder that timm loads: ``config.json`` (``architecture``, ``model_args``) and weights.
        text_tower: Folder that ``save_pretrained`` of transformers wrote, tokenizer included.

    Returns:
        The towers.

    Raises:
        UserError: A file or folder is missing or cannot be used, or image sizes differ.
    """
    import open_clip  # type: ignore[import-untyped]
    from open_clip.tokenizer import HFTokenizer  # type: ignore[import-untyped]
    from transformers.utils import logging

    for option, folder in (("image_tower", image_tower), ("text_tower", text_tower)):
        if not (Path(folder) / CONFIG).is_file():
            raise UserError(f"model.{option}: {folder} must be a folder with {CONFIG} and weights.")
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    content = read_json_object(Path(name))
    look, config = content.get("preprocess_cfg", {}), content.get("model_cfg", content)
    parts = ("vision_cfg", "text_cfg")
    if not isinstance(config, dict) or not all(isinstance(config.get(part), dict) for part in parts):
        raise UserError(f"model.name: {name} must have objects vision_cfg and text_cfg, as open_clip's files have.")
    config = _with_towers(config, image_tower, text_tower)
    loaded = _loading(config, real=torch.get_default_device().type != "meta")
    try:
        body = open_clip.CustomTextCLIP(**{key: value for key, value in loaded.items() if key != "custom_text"})
        tokenizer = HFTokenizer(text_tower, context_length=config["text_cfg"]["context_length"])
    except UNUSABLE as error:
        raise UserError(
            f"model.name: {name} with image tower {image_tower} and text tower {text_tower} cannot be built: "
            f"{reason_of(error)}"
        ) from error
    size = config["vision_cfg"].get("image_size")
    read = getattr(getattr(body.visual.trunk, "patch_embed", None), "img_size", None)
    if read is not None and tuple(read) != (size, size):
        raise UserError(
            f"model.image_tower: {image_tower} reads images of {read[0]} pixels (model_args.img_size of its {CONFIG}), "
            f"{name} has vision_cfg.image_size {size}."
        )
    if len(tokenizer.tokenizer) > body.vocab_size:
        raise UserError(
            f"model.text_tower: the tokenizer of {text_tower} has {len(tokenizer.tokenizer)} tokens, the tower "
            f"{body.vocab_size}: it belongs to another model."
        )
    return PublishedTowers(body, tokenizer, config, look)


def _with_towers(config: Mapping[str, Any], image_tower: str, text_tower: str) -> dict[str, Any]:
    """Return open_clip's configuration with the folders, as it is exported: weights are not loaded from them."""
    image = {"timm_proj": "linear", **config["vision_cfg"], "timm_model_name": f"{LOCAL}{image_tower}"}
    text = {"context_length": CONTEXT, **config["text_cfg"], "hf_model_name": text_tower}
    image["timm_model_pretrained"] = text["hf_model_pretrained"] = False
    return {**config, "custom_text": True, "vision_cfg": image, "text_cfg": {**text, "hf_tokenizer_name": text_tower}}


def _loading(config: Mapping[str, Any], real: bool) -> dict[str, Any]:
    image = {**config["vision_cfg"], "timm_model_pretrained": real}
    return {**config, "vision_cfg": image, "text_cfg": {**config["text_cfg"], "hf_model_pretrained": real}}
