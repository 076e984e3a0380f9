"""Optimizer and learning rate, the latter a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from cu_core.bounds import BelowOne, Positive, Rate, Weight
from cu_core.errors import UserError
from cu_core.sharding import by_kind, whole


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights are updated."""

    name: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum, or AdamW."""
    lr: Rate = 0.01
    """Peak learning rate."""
    momentum: BelowOne = 0.9
    """Momentum of SGD."""
    weight_decay: Weight = 0.0
    """Weight decay: an L2 penalty for SGD, decoupled for AdamW."""
    schedule: Literal["constant", "cosine"] = "constant"
    """``cosine``: linear warm-up, then half a cosine to zero at the last step."""
    warmup_frac: BelowOne = 0.0
    """Part of the steps, in [0, 1), over which the rate rises from zero."""
    clip_norm: Positive | None = None
    """Largest norm of the whole gradient; ``null``: not clipped."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise UserError(f"lr must be positive, got {self.lr}")
        if not 0 <= self.momentum < 1 or self.weight_decay < 0 or not 0 <= self.warmup_frac < 1:
            raise UserError("momentum and warmup_frac must lie in [0, 1), weight_decay must not be negative")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise UserError(f"clip_norm must be positive, got {self.clip_norm}")


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Build the optimizer of the parameters that need a gradient."""
    trained = [{"params": kind} for kind in by_kind(p for p in parameters if p.requires_grad)]
    if config.name == "adamw":
        return torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(trained, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def learning_rate(config: OptimizerConfig, step: int, max_steps: int) -> float:
    """Return the learning rate of step number ``step`` (from 0) of ``max_steps``."""
    warmup = config.warmup_frac * max_steps
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return config.lr
    done = (step - warmup) / max(max_steps - warmup, 1)
    return config.lr * 0.5 * (1 + math.cos(math.pi * done))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def gradient_norm(parameters: Iterable[nn.Parameter], clip_norm: float | None) -> Tensor:
    """Return the norm of the whole gradient; the gradient is then clipped to ``clip_norm``, if given."""
    kinds = by_kind(p for p in parameters if p.grad is not None)
    limit = clip_norm if clip_norm is not None else math.inf
    if len(kinds) < 2:
        return whole(nn.utils.clip_grad_norm_(kinds[0] if kinds else [], limit))
    norms = [whole(nn.utils.get_total_norm([p.grad for p in kind if p.grad is not None])) for kind in kinds]
    norm: Tensor = torch.stack(norms).norm()
    for kind in kinds:
        nn.utils.clip_grads_with_norm_(kind, limit, norm)
    return norm
