"""Train states and models as checksummed folders, weights as safetensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cu_core.errors import DamagedFile, UserError
from cu_core.files import atomic_folder, file_sha256
from cu_core.sharding import whole
from cu_core.storage import fetched
from cu_core.stored import damaged

Weights = dict[str, Tensor]
META = "meta.json"
PICKLED = (b"P", b"\x80")
"""How files of ``torch.save`` begin: as an archive, or, of old versions, as a pickle."""
ADAPTER = ("adapter_model.safetensors", "adapter_config.json")


def copy_weights(weights: Mapping[str, Tensor]) -> Weights:
    """Copy weights to the host; weights that are sharded over workers need this call on every worker."""
    return {name: whole(value.detach()).to("cpu", copy=True).contiguous() for name, value in weights.items()}


def _seal(folder: Path, meta: Mapping[str, Any]) -> None:
    files = {p.name: file_sha256(p) for p in sorted(folder.iterdir()) if p.is_file()}
    (folder / META).write_text(json.dumps({**meta, "files": files}, indent=1, sort_keys=True))


def read_meta(folder: Path, verify: bool = True) -> dict[str, Any]:
    """Read the folder's ``meta.json``.

    Args:
        folder: Folder of a model or of a train state.
        verify: Whether every file is compared with its checksum first.

    Returns:
        The content of ``meta.json``.

    Raises:
        DamagedFile: A file is missing or damaged; the message names it.
    """
    path = folder / META
    if not fetched(path):
        raise DamagedFile(f"{folder} holds no {META}: it is not a folder that this tool saved.")
    try:
        meta: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise DamagedFile(f"{path} is damaged (it is no JSON); use an earlier copy.") from error
    for name, expected in meta["files"].items() if verify else ():
        if not fetched(folder / name) or file_sha256(folder / name) != expected:
            raise DamagedFile(f"{folder / name} is damaged (its sha256 differs from {META}); use an earlier copy.")
    return meta


def save_model(
    folder: Path,
    weights: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    adapter: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None = None,
) -> None:
    """Write ``model.safetensors`` and ``meta.json``; the folder appears only when it is complete.

    Args:
        folder: Folder to write.
        weights: Name -> tensor.
        meta: Content of ``meta.json``; checksums of the files are added.
        adapter: Adapter weights and settings, written in peft's format.
    """
    with atomic_folder(folder) as partial:
        save_file(copy_weights(weights), partial / "model.safetensors")
        if adapter is not None:
            save_file(copy_weights(adapter[0]), partial / ADAPTER[0])
            (partial / ADAPTER[1]).write_text(json.dumps(adapter[1], indent=1, sort_keys=True))
        _seal(partial, meta)


def load_weights(path: Path) -> Weights:
    """Load weights from a folder of ours, a ``.safetensors`` file, or a ``torch.save`` state dict (weights only).

    Raises:
        DamagedFile: The file is damaged or is no weights file.
        UserError: There is no file, or it holds no state dict.
    """
    if fetched(path / META) or path.is_dir():
        read_meta(path)
        path = path / "model.safetensors"
    if not path.is_file():
        raise UserError(f"no weights at {path}.")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with path.open("rb") as file:
            if file.read(1) not in PICKLED:
                raise UnpicklingError("it does not begin as torch.save writes")
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, struct.error) as error:
        (reason, *_) = [*str(error).strip().splitlines(), type(error).__name__]
        raise DamagedFile(
            f"{path} is no weights file, neither safetensors nor a state dict of tensors: {reason}"
        ) from error
    loaded = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise UserError(f"{path} must hold a state dict (names to tensors).")
    weights: Weights = loaded
    return weights


@dataclass
class TrainState:
    """Everything that a run needs to continue as if it had never stopped."""

    step: int
    model: Weights
    optimizer: dict[str, Any]
    method: Weights
    rng: Tensor
    progress: dict[str, Any] = field(default_factory=dict)
    """Counters and stop-rule state (numbers, strings, lists only)."""
    kept: Weights | None = None
    """Weights of the best state so far, where a stop rule keeps one."""


def save_state(folder: Path, state: TrainState, config_digest: str) -> None:
    """Write a train state; the folder appears only when it is complete.

    Args:
        folder: Folder to write.
        state: The train state.
        config_digest: Digest of the configuration that it belongs to.
    """
    with atomic_folder(folder) as partial:
        save_file(copy_weights(state.model), partial / "model.safetensors")
        if state.kept is not None:
            save_file(copy_weights(state.kept), partial / "kept.safetensors")
        rest = {"optimizer": state.optimizer, "method": copy_weights(state.method), "rng": state.rng}
        torch.save(rest, partial / "state.pt")
        _seal(partial, {"step": state.step, "progress": state.progress, "config_digest": config_digest})


def load_state(folder: Path, config_digest: str) -> TrainState:
    """Read a train state.

    Args:
        folder: Folder that ``save_state`` wrote.
        config_digest: Digest of the configuration of this run.

    Returns:
        The train state.

    Raises:
        DamagedFile: A file is missing or damaged.
        UserError: The state belongs to another configuration.
    """
    meta = read_meta(folder)
    if meta["config_digest"] != config_digest:
        raise UserError(f"checkpoint {folder} belongs to another configuration; start a run with a new name.")
    try:
        rest = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        found = {name: rest[name] for name in ("optimizer", "method", "rng")}
    except (UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
        raise damaged(folder / "state.pt", error, "use an earlier copy") from error
    kept = folder / "kept.safetensors"
    return TrainState(
        step=meta["step"],
        model=load_file(folder / "model.safetensors"),
        **found,
        progress=meta["progress"],
        kept=load_file(kept) if kept.is_file() else None,
    )
