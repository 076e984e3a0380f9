"""Which weights of an image-text model change: towers, and how much of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeGuard

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cu_core.errors import UserError
from cu_core.models.classifier import Classifier
from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.towers import Tower, Towers


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """Weights of an image-text model that change; of a classifier, all change."""

    towers: Literal["image", "text", "both"] = "image"
    """Towers whose weights change."""
    tune: Literal["full", "last_blocks", "lora", "head"] = "full"
    """``full``: all weights; ``last_blocks``: the last blocks and the projection; ``lora``: low-rank adapters in the
    last blocks (Hu et al. 2021, arXiv 2106.09685), merged into the weights at the end; ``head``: the projection
    alone."""
    blocks: int = 2
    """Number of last blocks."""
    rank: int = 8
    """Rank of the adapters."""
    scale: bool = False
    """Whether the factor of cosines in logits (and the sigmoid loss's bias) changes."""

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.rank < 1:
            raise UserError("trainable.blocks and trainable.rank must be at least 1")

    @property
    def each(self) -> tuple[Tower, ...]:
        """The towers, one by one."""
        return ("image", "text") if self.towers == "both" else (self.towers,)


def choose_trainable(model: ImageTextClassifier, settings: Trainable) -> None:
    """Freeze all other weights, and add adapters if the settings ask for them.

    Args:
        model: The model; it is changed in place.
        settings: Which weights are trained.

    Raises:
        UserError: The model has no projection of its own (SigLIP's text pooling head counts as one).
    """
    towers = model.body
    towers.requires_grad_(False)
    for name in ("logit_scale", "logit_bias"):
        value = getattr(towers.body, name, None)
        if settings.scale and isinstance(value, nn.Parameter):
            value.requires_grad_(True)
    if settings.tune == "lora":
        _add_adapters(towers, settings)
        return
    for tower in settings.each:
        for parameter in _chosen(towers, tower, settings):
            parameter.requires_grad_(True)


def recompute_blocks(model: ImageTextClassifier) -> None:
    """Make transformer blocks keep only their input and repeat their forward pass in the backward pass.

    This is for towers whose activations exceed a worker's memory (Chen et al. 2016, arXiv 1604.06174).
    """
    for tower in ("image", "text"):
        for block in model.body.blocks(tower):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def _chosen(towers: Towers, tower: Tower, settings: Trainable) -> list[nn.Parameter]:
    if settings.tune == "full":
        return towers.parameters_of(tower)
    heads = towers.heads(tower)
    if settings.tune == "head":
        if not heads:
            raise UserError(f"trainable.tune=head: the {tower} tower of this model has no projection.")
        return heads
    return [p for block in towers.blocks(tower)[-settings.blocks :] for p in block.parameters()] + heads


def _add_adapters(towers: Towers, settings: Trainable) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    names = {id(module): name for name, module in towers.body.named_modules()}
    blocks = [names[id(b)] for tower in settings.each for b in towers.blocks(tower)[-settings.blocks :]]
    pattern = rf"(?:{'|'.join(map(re.escape, blocks))})\.(?:.*\.)?(?:{'|'.join(towers.linear_layers)})"
    trained = {name for name, p in towers.body.named_parameters() if p.requires_grad}
    lora = LoraConfig(r=settings.rank, lora_alpha=2 * settings.rank, target_modules=pattern)
    inject_adapter_in_model(lora, towers.body)
    for name, parameter in towers.body.named_parameters():
        parameter.requires_grad_("lora_" in name or name in trained)


def _has_adapters(model: Classifier) -> TypeGuard[ImageTextClassifier]:
    return isinstance(model, ImageTextClassifier) and hasattr(model.body.body, "peft_config")


def adapter_of(model: Classifier) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return weights and settings of the adapters in the format of ``peft.PeftModel.from_pretrained``; or ``None``."""
    if not _has_adapters(model):
        return None
    from peft import get_peft_model_state_dict

    body: Any = model.body.body
    weights = {f"base_model.model.{k}": v for k, v in get_peft_model_state_dict(body).items()}
    return weights, json.loads(json.dumps(body.peft_config["default"].to_dict(), default=_plain))


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else str(getattr(value, "value", value))


def merge_adapters(model: Classifier) -> None:
    """Merge adapters into the weights, in place; names are then those of the plain model."""
    if not _has_adapters(model):
        return
    from peft.tuners.lora import LoraLayer

    body: Any = model.body.body
    for name, module in list(body.named_modules()):
        if isinstance(module, LoraLayer):
            layer: Any = module
            layer.merge(safe_merge=True)
            parent, _, own = name.rpartition(".")
            setattr(body.get_submodule(parent), own, layer.get_base_layer())
    del body.peft_config
