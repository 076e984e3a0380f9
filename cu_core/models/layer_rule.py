"""Which layers of any classifier are its head, its embedding and its hidden layers: one rule for all libraries."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from cu_core.errors import UserError
from cu_core.models.classifier import INPUT

MOST = 0.8
"""Share of the weights before the head that a part must hold to be searched for the stack of blocks."""
FEWEST = 3
"""Blocks that a stack must have."""


class Layers(NamedTuple):
    """Names of layers, as ``Classifier`` reads them."""

    heads: tuple[str, ...]
    """Layers with one output for each class."""
    embedding: str
    depths: tuple[str, ...]
    """Blocks at one, two and three quarters of the depth; the last is the hidden layer."""

    def chosen(self, embedding: str, hidden: str) -> str:
        """Return the layers that a model reads as a line of the run's output."""
        rules = (
            " (what the head reads)" if embedding == self.embedding else "",
            " (the block at three quarters of the depth)" if hidden == self.depths[-1] else "",
        )
        return (
            f"embedding {embedding}{rules[0]}, hidden layer {hidden}{rules[1]}; others by model.embedding_layer and "
            "model.hidden_layer"
        )


def find_layers(body: nn.Module, num_classes: int) -> Layers:
    """Find head, embedding and hidden layers.

    The head is the last linear layer or convolution with one output for each class; the embedding is what it reads. The
    blocks are the children of the smallest part that holds nearly all other weights in at least three of them, or, of
    timm's models, the stages that timm lists.

    Args:
        body: The model.
        num_classes: Number of classes.

    Returns:
        The layers.

    Raises:
        UserError: No layer has one output for each class.
    """
    heads = heads_of(body, num_classes)
    if not heads:
        raise UserError(f"the model has no linear layer or convolution with {num_classes} outputs, one for each class.")
    blocks = _stages_of_timm(body) or _stack(body, heads[-1])
    quarters = [blocks[max(0, part * len(blocks) // 4 - 1)] for part in (1, 2, 3)]
    return Layers(heads, heads[-1] + INPUT, tuple(dict.fromkeys(quarters)))


def heads_of(body: nn.Module, num_classes: int) -> tuple[str, ...]:
    """Return the layers with one output for each class that are the end of the model; empty if there are none."""
    ends = [name for name, module in body.named_modules() if _width(module) == num_classes]
    several = (getattr(body, "default_cfg", None) or {}).get("classifier") or ()  # timm's distilled transformers
    return tuple(several) if isinstance(several, tuple | list) else tuple(ends[-1:])


def _width(module: nn.Module) -> int | None:
    if isinstance(module, nn.Linear):
        return module.out_features
    return module.out_channels if isinstance(module, nn.Conv2d) else None


def _stages_of_timm(body: nn.Module) -> list[str]:
    found = getattr(body, "feature_info", None) or []
    stages = [str(stage["module"]) for stage in getattr(found, "info", found) if stage.get("module")]
    named = dict(body.named_modules())
    return stages if stages and all(stage in named for stage in stages) else []


def _stack(body: nn.Module, head: str) -> list[str]:
    """Return the names of the blocks, first to last."""
    inside = {id(p) for p in body.get_submodule(head).parameters()}

    def weights(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters() if id(p) not in inside)

    place, part = "", body
    while True:
        children = [(f"{place}.{name}".strip("."), child) for name, child in part.named_children()]
        stacked = isinstance(part, nn.Sequential | nn.ModuleList) and len(children) >= FEWEST
        large = [] if stacked else [c for c in children if weights(c[1]) >= MOST * weights(body)]
        if not large or not list(large[0][1].children()):
            break
        place, part = large[0]
    return [name for name, child in children if not isinstance(child, nn.Dropout)] or [place]
