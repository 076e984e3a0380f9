"""Run a function on several gloo ranks and collect what rank 0 returns."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

# Ranks are forked from a server that has imported the libraries once; importing them takes longer than the tests.
multiprocessing.set_forkserver_preload(["cu_core.run", "tests.conftest", "open_clip", "peft"])


def _entry(rank: int, world: int, place: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place}/rendezvous", rank=rank, world_size=world)
    try:
        result = function(*args)
        if rank == 0:
            torch.save(result, f"{place}/result.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def on_ranks(world: int, function: Callable[..., Any], *args: Any) -> Any:
    """``function(*args)`` on every rank (a module-level function); returns rank 0's result."""
    with tempfile.TemporaryDirectory() as place:
        mp.start_processes(_entry, (world, place, function, args), nprocs=world, start_method="forkserver")
        return torch.load(Path(place) / "result.pt", weights_only=False)
