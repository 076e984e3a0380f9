"""Which layers of any classifier are its head, its embedding and its hidden layers: one rule for all libraries."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from cu_core.errors import UserError
from cu_core.models.classifier import INPUT

FEWEST = 4
"""Children with weights that make a part, which is no list of modules, a stack of blocks."""
NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


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
    blocks are the stages that timm lists. Of other models, they are the children with weights of the first list of
    modules, or of the first part with at least four of them, on the way from the model to its largest parts.

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
    quarters = [blocks[-(-part * len(blocks) // 4) - 1] for part in (1, 2, 3)]
    return Layers(heads, heads[-1] + INPUT, tuple(dict.fromkeys(quarters)))


def heads_of(body: nn.Module, num_classes: int) -> tuple[str, ...]:
    """Return the layers with one output for each class that are the end of the model; empty if there are none."""
    ends = [name for name, module in body.named_modules() if _width(module) == num_classes]
    several = (getattr(body, "default_cfg", None) or {}).get("classifier")  # timm's distilled transformers
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
    of_head = {id(p) for p in body.get_submodule(head).parameters()}
    place, part = "", body
    while True:
        named = [(f"{place}.{name}".strip("."), child) for name, child in part.named_children()]
        weights = {n: sum(p.numel() for p in child.parameters() if id(p) not in of_head) for n, child in named}
        blocks = {n: child for n, child in named if weights[n] and not isinstance(child, NORMS)}
        fewest = 2 if isinstance(part, nn.Sequential | nn.ModuleList) else FEWEST
        if len(blocks) >= fewest or not blocks:
            return list(blocks) or [place]
        place = max(blocks, key=lambda n: weights[n])
        part = blocks[place]
