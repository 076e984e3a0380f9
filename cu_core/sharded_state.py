"""Train states of sharded models: all workers write their parts at once, while training goes on.

``torch.distributed.checkpoint`` writes and reads the parts, so that M workers can continue from a state of N.
"""

from __future__ import annotations

import json
import shutil
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cu_core.checkpoint import PARTS, REST, TrainState, Weights, copy_weights, save_state
from cu_core.dist import rank, world_size
from cu_core.files import file_sha256, write_text
from cu_core.sharding import load_optimizer
from cu_core.weights_file import META

MODEL, OPTIMIZER, KEPT = "model/", "optimizer/", "kept/"
"""What the names of stored tensors begin with."""


class StateSaver:
    """Saves the train states of one run; all workers must call its methods in the same order."""

    def __init__(self) -> None:
        self._group: Any = None
        self._idle = threading.Event()
        self._idle.set()

    def save(self, folder: Path, state: TrainState, digest: str) -> None:
        """Write a state into a folder that all workers share, and wait for it.

        A state that is not sharded is written by rank 0.

        Args:
            folder: Folder to write. It is complete once it holds ``meta.json``.
            state: The train state.
            digest: Digest of the configuration that it belongs to.
        """
        if not state.sharded:
            if rank() == 0:
                save_state(folder, state, digest)
            return
        if rank() == 0:
            shutil.rmtree(folder, ignore_errors=True)  # what a killed run has left
            folder.mkdir(parents=True)
        dist.barrier()
        self.begin(folder, state, digest)()

    def begin(self, folder: Path, state: TrainState, digest: str) -> Callable[[], None]:
        """Copy a sharded state to the host and begin to write this worker's part, after the state before is complete.

        Args:
            folder: An empty folder, of this worker alone or of all; together they are the checkpoint.
            state: The train state, sharded; it may change afterwards.
            digest: Digest of the configuration that it belongs to.

        Returns:
            A function that waits until all workers have written and, on rank 0, writes what marks the checkpoint as
            complete. It must be called once, in any thread.
        """
        from torch.distributed.checkpoint.filesystem import FileSystemWriter
        from torch.distributed.checkpoint.state_dict_saver import async_save

        self.wait()
        self._idle.clear()
        self._group = self._group or dist.new_group(backend="gloo")  # training has its own, and goes on meanwhile
        meta = {"step": state.step, "progress": state.progress, "config_digest": digest, "workers": world_size()}
        text = json.dumps(meta)  # now: counters go on
        if rank() == 0:
            torch.save({"method": copy_weights(state.method), "rng": state.rng}, folder / REST)
        written = async_save(_named(state), storage_writer=FileSystemWriter(folder), process_group=self._group)

        def finish() -> None:
            try:
                written.result()  # type: ignore[union-attr]
                self._seal(folder, json.loads(text))
            finally:
                self._idle.set()

        return finish

    def wait(self) -> None:
        """Wait until the state that is being written is complete."""
        self._idle.wait()

    def _seal(self, folder: Path, meta: dict[str, Any]) -> None:
        mine = [*folder.glob(f"__{rank()}_*"), *([folder / PARTS, folder / REST] if rank() == 0 else [])]
        sums: list[Any] = [None] * world_size()
        dist.all_gather_object(sums, {path.name: file_sha256(path) for path in mine}, group=self._group)
        if rank() == 0:
            files = {name: value for one in sums for name, value in one.items()}
            write_text(folder / META, json.dumps({**meta, "files": files}, indent=1, sort_keys=True))


def _named(state: TrainState) -> dict[str, Tensor]:
    found = {f"{MODEL}{name}": value for name, value in state.model.items()}
    found |= {
        f"{OPTIMIZER}{name}/{kind}": value for name, held in state.optimizer.items() for kind, value in held.items()
    }
    return found | {f"{KEPT}{name}": value for name, value in (state.kept or {}).items()}


def load_parts(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> Weights | None:
    """Read the model and the optimizer's state from a sharded state; each worker reads only what it holds.

    Args:
        folder: A complete folder that ``StateSaver`` wrote, with any number of workers.
        module: The model, sharded or not; it is filled.
        optimizer: The optimizer of its parameters; it is filled.

    Returns:
        The whole weights that a stop rule kept, or ``None``.
    """
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = FileSystemReader(folder)
    stored: dict[str, Any] = reader.read_metadata().state_dict_metadata
    parameters = dict(module.named_parameters())
    weights = module.state_dict()
    wanted = {f"{MODEL}{name}": value for name, value in weights.items()}
    for name, about in stored.items():
        if name.startswith(OPTIMIZER):
            own = parameters[name.removeprefix(OPTIMIZER).rpartition("/")[0]]
            alike = about.size == own.shape and about.properties.dtype == own.dtype
            wanted[name] = torch.zeros_like(own) if alike else torch.zeros(about.size, dtype=about.properties.dtype)
        elif name.startswith(KEPT):
            wanted[name] = torch.empty(about.size, dtype=about.properties.dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # no worker needs another to read
        load(wanted, storage_reader=reader, no_dist=True)
    module.load_state_dict({name: wanted[f"{MODEL}{name}"] for name in weights})
    state: dict[str, dict[str, Tensor]] = {}
    for name, value in wanted.items():
        if name.startswith(OPTIMIZER):
            of, _, kind = name.removeprefix(OPTIMIZER).rpartition("/")
            state.setdefault(of, {})[kind] = value.detach()
    load_optimizer(module, optimizer, state)
    kept = {name.removeprefix(KEPT): value for name, value in wanted.items() if name.startswith(KEPT)}
    return kept or None
