"""Which rows feed the batch statistics, and whether ranks share them (an option of the run)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cu_core.dist import sum_with_gradient, world_size
from cu_core.errors import UserError

BatchNormMode = Literal["synced", "per_rank", "retain", "frozen"]
"""``synced``: statistics of the global forget and retain rows together, exact on any number of workers;
``per_rank``: of this worker's rows (no communication, but the step then depends on the number of workers);
``retain``: of the global retain rows only; ``frozen``: the stored statistics, not updated."""


class RowBatchNorm(nn.BatchNorm2d):
    """Batch norm whose training statistics may leave out leading rows and may be summed over ranks."""

    mode: BatchNormMode = "synced"
    first_row: int | None = 0
    """Rows before this one do not feed the statistics (they are normalised all the same); absent: none does, and the
    stored statistics are used."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise UserError(f"batch norm needs (N, C, ...), got {tuple(input.shape)}.")

    def train(self, mode: bool = True) -> RowBatchNorm:
        """Stay in evaluation mode if the statistics are frozen."""
        super().train(mode and self.mode != "frozen")
        return self

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the statistics of the mode; fewer than two values use the stored ones."""
        self._check_input_dim(input)
        shared = world_size() > 1 and self.mode != "per_rank"
        if self.training and (self.first_row is None or (not shared and input.numel() < 2 * input.shape[1])):
            return self._stored(input)
        if not self.training or not (shared or self.first_row):
            return super().forward(input)
        return self._shared_forward(input, shared)

    def _stored(self, input: Tensor) -> Tensor:
        """Normalise by the stored statistics: for rows that must not change them, and for fewer than two values."""
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def _shared_forward(self, x: Tensor, shared: bool) -> Tensor:
        """Normalise with one collective: sums around the running mean (equal on every rank) avoid cancellation."""
        assert self.running_mean is not None
        assert self.running_var is not None
        dims = [d for d in range(x.dim()) if d != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        centred = x[self.first_row :].float() if x.dtype == torch.bfloat16 else x[self.first_row :]
        centred = centred - self.running_mean.view(shape).to(centred.dtype)
        count = centred.new_full((1,), centred.numel() / centred.shape[1])
        sums = torch.cat([centred.sum(dims), (centred**2).sum(dims), count])
        if shared:
            sums = sum_with_gradient(sums)
        channels = x.shape[1]
        if centred.numel() < 2 * channels and float(sums[-1].detach()) < 2:
            return self._stored(x)
        count = sums[-1].detach()
        shift = sums[:channels] / count
        var = (sums[channels:-1] / count - shift**2).clamp_min(0)
        mean = shift + self.running_mean
        with torch.no_grad():
            momentum = 0.1 if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
            unbiased = var * count / (count - 1).clamp_min(1)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        scale = self.weight / torch.sqrt(var + self.eps)
        return (x - mean.view(shape).to(x.dtype)) * scale.view(shape).to(x.dtype) + self.bias.view(shape)


class RowBatchNormAct(RowBatchNorm):
    """The same for timm's batch norm that is followed by dropout and an activation within the layer."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """Normalise, drop, activate."""
        found: Tensor = self.act(self.drop(super().forward(input)))
        return found


PLAIN = (_BatchNorm.forward, nn.SyncBatchNorm.forward, RowBatchNorm.forward)
"""Forward passes that normalise and do nothing else."""
WITH_ACTIVATION = "timm.layers.norm_act"
"""Module of layers that normalise, drop and activate."""


def set_batch_norm(model: nn.Module, mode: BatchNormMode) -> None:
    """Convert every batch-norm layer to ``mode``, in place; parameters, names and what a layer does beside it stay.

    Raises:
        UserError: A layer is a batch norm with a forward pass of its own.
    """
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = _row_class(name, module)
            module.mode = mode  # type: ignore[assignment]


def _row_class(name: str, module: _BatchNorm) -> type[RowBatchNorm]:
    kind = type(module)
    if isinstance(module, RowBatchNorm):
        return kind  # type: ignore[return-value]
    if kind.forward in PLAIN:
        return RowBatchNorm
    if kind.__module__ == WITH_ACTIVATION:
        return RowBatchNormAct
    raise UserError(
        f"{name or 'the model'} is a {kind.__module__}.{kind.__qualname__}, a batch norm with a forward pass of its "
        f"own; those of torch and timm are supported."
    )


def set_first_row(model: nn.Module, first_row: int | None) -> None:
    """Set the first row that feeds the statistics, in layers of mode ``retain``."""
    for module in model.modules():
        if isinstance(module, RowBatchNorm) and module.mode == "retain":
            module.first_row = first_row
