"""Weights spread over workers (FSDP2): each holds a part of every weight, its gradient and its optimizer state.

A block's weights are gathered while a worker computes with them (Zhao et al. 2023, arXiv 2304.11277). Saved weights are
whole, so that a run can continue with any number of workers. On modules that are not spread these functions do nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

from cu_core.traffic import TRAFFIC

DTENSOR = "torch.distributed.tensor", "DTensor"


def _loaded(module: str, name: str) -> Any:
    """Return a class of a part of torch that takes a second to import, or ``()`` if that part is not imported.

    No object of such a class can exist before the import.
    """
    return getattr(sys.modules[module], name) if module in sys.modules else ()


def shard(units: Sequence[nn.Module]) -> None:
    """Spread these modules over workers, inner ones first; each is gathered as one piece.

    Gradients are averaged over workers, as data-parallel wrappers do.
    """
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(next(units[-1].parameters()).device.type, (dist.get_world_size(),))
    spread: set[int] = set()
    for unit in units:
        own = [p for p in unit.parameters() if id(p) not in spread]
        fully_shard(unit, mesh=mesh)
        spread |= {id(p) for p in unit.parameters()}
        unit.register_forward_pre_hook(partial(_count, _handed_over(own)))


def _handed_over(parameters: Sequence[nn.Parameter]) -> int:
    """Return a worker's bytes in a step: its part of the weights, forward and backward, and the whole gradient."""
    parts = 2 / dist.get_world_size()
    return round(sum(p.element_size() * p.numel() * (parts + p.requires_grad) for p in parameters))


def _count(size: int, unit: nn.Module, args: Any) -> None:
    if torch.is_grad_enabled():
        TRAFFIC.bytes += size


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Context manager: whole weights on every worker, so that workers may forward different numbers of rows.

    It is not for training.
    """
    units = [unit for unit in module.modules() if isinstance(unit, _loaded("torch.distributed.fsdp", "FSDPModule"))]
    with torch.no_grad():
        for unit in units:
            unit.set_reshard_after_forward(False, recurse=False)
            unit.unshard()
    yield
    for unit in units:
        unit.reshard()
        unit.set_reshard_after_forward(True, recurse=False)


def whole(value: Tensor) -> Tensor:
    """Return the whole tensor; every worker must call it."""
    return value.full_tensor() if isinstance(value, _loaded(*DTENSOR)) else value


def _like(value: Tensor, target: Tensor | None) -> Tensor:
    """Return this worker's part of a whole tensor if ``target`` is spread."""
    if not isinstance(target, _loaded(*DTENSOR)) or value.shape != target.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(target.device), target.device_mesh, target.placements, src_data_rank=None)


def load_whole(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Do ``load_state_dict`` with whole tensors."""
    own = module.state_dict()
    module.load_state_dict({name: _like(value, own.get(name)) for name, value in weights.items()})


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return ``state_dict`` with whole tensors; every worker must call it."""
    return _each(optimizer.state_dict(), lambda number, value: whole(value))


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load what ``optimizer_state`` returned."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.load_state_dict(_each(state, lambda number, value: _like(value, trained[number])))


def _each(state: Mapping[str, Any], change: Any) -> dict[str, Any]:
    """Change the tensors of each parameter's state by a function of (the parameter's number, tensor)."""
    kept = {
        number: {key: change(number, value) if isinstance(value, Tensor) else value for key, value in held.items()}
        for number, held in state["state"].items()
    }
    return {**state, "state": kept}
