"""Weights spread over workers (FSDP2): each holds a part of every weight, its gradient and its optimizer state.

A block's weights are gathered while a worker computes with them (Zhao et al. 2023, arXiv 2304.11277). Saved models are
whole; checkpoints hold the parts (``cu_core.sharded_state``), and a run can continue from them with any number of
workers. On modules that are not spread these functions do nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeGuard

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

    Gradients are averaged over workers, as data-parallel wrappers do. Single numbers stay whole on every worker.
    """
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(next(units[-1].parameters()).device.type, (dist.get_world_size(),))
    spread: set[int] = set()
    for unit in units:
        own = [p for p in unit.parameters() if id(p) not in spread and p.dim()]
        single = {p for p in unit.parameters() if not p.dim()}
        fully_shard(unit, mesh=mesh, reshard_after_forward=True, ignored_params=single)
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
    return value.full_tensor() if is_part(value) else value


def _like(value: Tensor, target: Any) -> Tensor:
    """Return this worker's part of a whole tensor if ``target`` is spread."""
    if not is_part(target) or is_part(value) or value.shape != target.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(target.device), target.device_mesh, target.placements, src_data_rank=None)


def load_whole(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Do ``load_state_dict`` with whole tensors."""
    own = module.state_dict()
    module.load_state_dict({name: _like(value, own.get(name)) for name, value in weights.items()})


def is_part(value: object) -> TypeGuard[Any]:
    """Return whether a tensor is spread over workers."""
    return isinstance(value, _loaded(*DTENSOR))


def address_of(value: Any) -> int:
    """Return where a tensor lies in memory; of one that is spread, this worker's part."""
    address: int = (value.to_local() if is_part(value) else value).data_ptr()
    return address


def by_kind(parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Return the parameters that are spread and those that are not, without empty lists.

    One operation on a list of tensors cannot take both.
    """
    both: tuple[list[nn.Parameter], list[nn.Parameter]] = [], []
    for p in parameters:
        both[is_part(p)].append(p)
    return [kind for kind in both if kind]


def average_whole_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average over workers the gradients of parameters that are not spread, beside others that are.

    No wrapper does that for them. Every worker must call it. A parameter without a gradient on all workers gets none.
    """
    trained = by_kind(p for p in parameters if p.requires_grad)
    if len(trained) < 2:
        return
    alone = trained[0]
    flat = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in alone]
    there = torch.tensor([float(p.grad is not None) for p in alone]).to(flat[0])
    total = torch.cat([*flat, there])
    dist.all_reduce(total)
    TRAFFIC.bytes += total.numel() * total.element_size()
    *gradients, counts = torch.split(total, [*(p.numel() for p in alone), len(alone)])
    for p, gradient, count in zip(alone, gradients, counts.tolist(), strict=True):
        p.grad = gradient.view_as(p) / dist.get_world_size() if count else None


OptimizerState = dict[str, dict[str, Tensor]]
"""State of each parameter by its name in the model: name -> kind (``exp_avg``) -> tensor."""


def optimizer_state(module: nn.Module, optimizer: torch.optim.Optimizer) -> OptimizerState:
    """Return the state of each parameter of the module; what is spread stays so. Settings are not part of it."""
    names = {id(p): name for name, p in module.named_parameters()}
    return {
        names[id(p)]: {key: value for key, value in held.items() if isinstance(value, Tensor)}
        for p, held in optimizer.state.items()
    }


def load_optimizer(
    module: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Load what ``optimizer_state`` returned, on any number of workers."""
    names = {id(p): name for name, p in module.named_parameters()}
    numbered = [p for group in optimizer.param_groups for p in group["params"]]
    own = {
        number: {key: _like(value, p) for key, value in state[names[id(p)]].items()}
        for number, p in enumerate(numbered)
        if names[id(p)] in state
    }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": own})
