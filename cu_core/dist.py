"""Collectives over ranks: exact with gradient, and no-ops on one process."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from cu_core.traffic import TRAFFIC, counted, mark


def world_size() -> int:
    """Return the number of ranks; 1 outside a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process's rank; 0 outside a process group."""
    return dist.get_rank() if world_size() > 1 else 0


def rank_slice(count: int) -> slice:
    """Return the contiguous part of ``count`` global rows that belongs to this rank; may be empty."""
    r, w = rank(), world_size()
    return slice(r * count // w, (r + 1) * count // w)


def seed_everything(seed: int) -> None:
    """Seed the global generators that libraries use (initialisation, dropout); order and augmentation use none."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def use_cpus(cpus: float) -> None:
    """Set the number of threads to the worker's number of CPUs, whatever OMP_NUM_THREADS says."""
    torch.set_num_threads(max(1, int(cpus)))


def sum_over_ranks(value: Tensor) -> Tensor:
    """Sum over ranks, without gradient."""
    value = value.detach().clone()
    if world_size() > 1:
        with counted(value):
            dist.all_reduce(value)
    return value


def global_counts(*counts: int, device: torch.device) -> list[int]:
    """Sum each count over ranks, in one collective; without one, and without waiting for the device, on one process."""
    if world_size() == 1:
        return [*counts]
    total = sum_over_ranks(torch.tensor(counts, dtype=torch.int64, device=device))
    return [int(c) for c in total.tolist()]


class _SumWithGradient(torch.autograd.Function):
    """y = sum over ranks of x. Every rank's loss reads y, so dL/dx is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return sum_over_ranks(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return sum_over_ranks(grads[0].contiguous())


def sum_with_gradient(x: Tensor) -> Tensor:
    """Sum over ranks; the backward pass also sums the gradient over ranks."""
    return x if world_size() == 1 else _SumWithGradient.apply(x)


class _GatherWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: list[int]) -> Tensor:
        ctx.start = sum(sizes[: rank()])
        ctx.size = sizes[rank()]
        padded = x.new_zeros((max(sizes), *x.shape[1:]))
        padded[: x.shape[0]] = x
        parts = [torch.empty_like(padded) for _ in sizes]
        with counted(padded):
            dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = sum_over_ranks(grads[0].contiguous())
        return total[ctx.start : ctx.start + ctx.size], None


def gather_rows(x: Tensor) -> Tensor:
    """Gather the rows of all ranks in rank order, (sum of N, ...); ranks may hold different numbers, also none.

    The gradient flows back to the rank that owns a row, summed over the losses of all ranks. Gather a detached tensor
    to save the backward collective. Every rank must call it.
    """
    if world_size() == 1:
        return x
    sizes = torch.zeros(world_size(), dtype=torch.int64, device=x.device)
    sizes[rank()] = x.shape[0]
    gathered: Tensor = _GatherWithGradient.apply(x, sum_over_ranks(sizes).tolist())
    return gathered


def data_parallel(module: nn.Module, *, broadcast_buffers: bool) -> nn.Module:
    """Wrap a module in DistributedDataParallel; on one process return the module itself."""
    if world_size() == 1:
        return module
    device = next(module.parameters()).device
    with warnings.catch_warnings():
        # Newer torch renames the argument; older ones know only this name.
        warnings.filterwarnings("ignore", message=".*broadcast_buffers.*", category=FutureWarning)
        wrapped = nn.parallel.DistributedDataParallel(
            module, device_ids=[device] if device.type == "cuda" else None, broadcast_buffers=broadcast_buffers
        )
    # A lambda: torch compares annotations with its classes, and those of this file are text.
    wrapped.register_comm_hook(dist.group.WORLD, lambda group, bucket: _counted_average(group, bucket))
    return wrapped


def _counted_average(group: Any, bucket: Any) -> Any:
    """Average gradients as DistributedDataParallel does without a hook, and count the bytes."""
    gradients = bucket.buffer()
    TRAFFIC.bytes += gradients.numel() * gradients.element_size()
    if bucket.is_last():
        TRAFFIC.last_bucket = mark(gradients.device)
    return allreduce_hook(group, bucket)
