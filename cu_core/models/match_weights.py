"""Stored weights into a model: names with the prefixes of trainers, heads of another size, types and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cu_core.errors import UserError
from cu_core.models.classifier import Classifier

Weights = Mapping[str, Tensor]
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "net.", "state_dict.", "student.", "teacher.", "ema.")
"""What trainers put before the names of a model's weights; taken away, in any order, where the rest is a name of the
model."""
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
COUNTS = ".num_batches_tracked"
"""Counters of batch norm that old files lack; they change no output."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How names in a file become names of the model."""

    key_map: Mapping[str, str] = field(default_factory=dict)
    """Prefixes of names in the file, and the prefixes that replace them; applied first."""
    new_head: bool = False
    """Whether the head keeps its fresh weights, and those of the file are left out."""
    option: str = "model.weights"
    """Setting that names the file, for messages."""


def restore(model: Classifier, weights: Weights, source: str) -> None:
    """Load weights that this tool saved; names and shapes must be those of the model.

    Args:
        model: The model; it is changed in place. On the meta device, all is checked and nothing loaded.
        weights: Name -> tensor.
        source: Name of their file, for the message.

    Raises:
        UserError: Names, shapes or values do not fit; the message gives the first.
    """
    _check(model, weights, source, "")
    _load(model, weights)


def restore_foreign(model: Classifier, fit: Fit, weights: Weights, source: str) -> list[str]:
    """Load weights of any trainer.

    Args:
        model: The model; it is changed in place.
        fit: How names in the file become names of the model.
        weights: Name -> tensor.
        source: Name of their file, for messages.

    Returns:
        What was renamed, left out or converted, one line each.

    Raises:
        UserError: Names, shapes or values do not fit; the message gives the first.
    """
    own, prefix = model.state_dict(), model.foreign_prefix
    for old, new in fit.key_map.items():
        weights = {new + k.removeprefix(old) if k.startswith(old) else k: v for k, v in weights.items()}
    named, stripped = _renamed(weights, own, prefix, source)
    notes = [f"{source}: prefixes of names are taken away: {', '.join(sorted(stripped))}"] if stripped else []
    named, resampled = _resampled(model, named)
    notes += resampled
    heads = tuple(f"{h}." for h in model.heads)
    head = {k for k in own if k.startswith(heads)}
    if fit.new_head:
        if not head:
            raise UserError("model.new_head: this model has no final layer that is known as its head.")
        left_out = [k for k in named if k.startswith(heads)]
        named = {k: v for k, v in named.items() if k not in left_out} | {k: own[k] for k in head}
        notes.append(f"{source}: the head ({', '.join(model.heads)}) is fresh, {len(left_out)} stored tensors left out")
    else:
        _check_head(named, own, head, source, fit.option)
    _check(model, named, source, prefix)
    if converted := sorted({str(v.dtype)[6:] for k, v in named.items() if v.dtype != own[k].dtype and k not in head}):
        notes.append(f"{source}: {', '.join(converted)} values are converted to those of the model")
    _load(model, named)
    return notes


def _load(model: Classifier, weights: Weights) -> None:
    if not next(model.parameters()).is_meta:
        model.load_state_dict(weights, strict=False)


def _renamed(weights: Weights, own: Weights, prefix: str, source: str) -> tuple[dict[str, Tensor], set[str]]:
    """Give every tensor the model's name for it, where taking known prefixes away leads to one."""
    named: dict[str, Tensor] = {}
    first: dict[str, str] = {}
    stripped: set[str] = set()
    for theirs, value in weights.items():
        name, taken = _own_name(theirs, own, prefix)
        if name in named:
            raise UserError(
                f"{source}: {first[name]} and {theirs} are both {name.removeprefix(prefix)} of the model; keep one of "
                f'the sets of names with model.key_map, e.g. \'model.key_map={{"{_start(theirs)}": "unused."}}\'.'
            )
        named[name], first[name] = value, theirs
        stripped |= taken
    return named, stripped


def _start(name: str) -> str:
    return name.partition(".")[0] + "."


def _own_name(theirs: str, own: Weights, prefix: str) -> tuple[str, set[str]]:
    """Return the model's name for a tensor, and the prefixes that were taken away."""
    rest, taken = theirs, set[str]()
    while True:
        for name in (rest, prefix + rest):
            if name in own:
                return name, taken
        found = next((p for p in PREFIXES if rest.startswith(p)), None)
        if found is None and "._orig_mod." in rest:  # a part of the model was compiled
            rest = rest.replace("._orig_mod.", ".")
            taken.add("_orig_mod.")
        elif found is None:
            return theirs if theirs.startswith(prefix) else prefix + theirs, set()
        else:
            rest = rest.removeprefix(found)
            taken.add(found)


def _resampled(model: Classifier, named: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Interpolate position embeddings of timm's transformers to the model's image size."""
    own, notes, result = model.state_dict(), [], dict(named)
    for name, value in named.items():
        mine = own.get(name)
        if mine is None or not name.endswith("pos_embed") or not hasattr(model.body, "num_prefix_tokens"):
            continue
        if (
            mine.shape == value.shape
            or value.dim() != 3
            or value.shape[::2] != mine.shape[::2]
            or value.dtype not in FLOATS
        ):
            continue
        import timm.layers

        grid = model.body.patch_embed.grid_size  # type: ignore[union-attr]
        extra = 0 if getattr(model.body, "no_embed_class", False) else model.body.num_prefix_tokens
        result[name] = timm.layers.resample_abs_pos_embed(value.float(), grid, num_prefix_tokens=extra)
        notes.append(f"{name} is interpolated from {value.shape[1]} to {mine.shape[1]} positions")
    return result, notes


def _check_head(named: Weights, own: Weights, head: set[str], source: str, option: str) -> None:
    for name in sorted(head):
        stored = named.get(name)
        if stored is not None and stored.shape == own[name].shape:
            continue
        what = "is absent" if stored is None else f"is {tuple(stored.shape)}, must be {tuple(own[name].shape)}"
        others = [k for k in own if k not in head and not k.endswith(COUNTS)]
        if others and all(k in named and named[k].shape == own[k].shape for k in others):
            how = (
                "train with a fresh head: model.start=FILE model.new_head=true"
                if option == "model.weights"
                else "model.new_head=true gives it a fresh head"
            )
            raise UserError(f"{source}: the head does not fit ({name} {what}), all else does; {how}.")


def _check(model: Classifier, weights: Weights, source: str, added: str) -> None:
    """Raise if a name, shape, type or value does not fit."""
    own = model.state_dict()
    shapes = [
        f"{k.removeprefix(added)} is {tuple(v.shape)}, must be {tuple(own[k].shape)}"
        for k, v in weights.items()
        if k in own and own[k].shape != v.shape
    ]
    missing = sorted(k for k in own.keys() - weights.keys() if not k.endswith(COUNTS))
    unknown = sorted(weights.keys() - own.keys())
    if shapes or missing or unknown:
        sides = [(missing, "lacks"), (unknown, "has unknown")]
        names = [f"{how} {n[0].removeprefix(added)} and {len(n) - 1} more" for n, how in sides if n]
        what = shapes[:1] or [", ".join(names)]
        raise UserError(
            f"{source} holds another model: {what[0]}; check model.*, or map the beginnings of names with "
            f'\'model.key_map={{"theirs.": ""}}\'.'
        )
    for name, value in weights.items():
        short = name.removeprefix(added)
        if value.dtype not in (FLOATS if own[name].is_floating_point() else WHOLE):
            raise UserError(f"{source}: {short} has type {str(value.dtype)[6:]}, must be {str(own[name].dtype)[6:]}.")
        if value.is_floating_point() and not value.is_meta and not bool(torch.isfinite(value).all()):
            raise UserError(f"{source}: {short} holds NaN or infinite values; use an earlier checkpoint.")
