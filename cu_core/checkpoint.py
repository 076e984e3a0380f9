"""Train states and models as checksummed folders, weights as safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cu_core.errors import DamagedFile, UserError
from cu_core.files import atomic_folder, file_sha256
from cu_core.sharding import OptimizerState, is_part, whole
from cu_core.storage import fetched
from cu_core.stored import damaged
from cu_core.weights_file import META, WeightsFile, read_json_object, read_weights

Weights = dict[str, Tensor]
REST, PARTS = "state.pt", ".metadata"
"""Files of a train state: what is neither weights nor, in a sharded one, moments; the index of a sharded one."""
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
    meta = read_json_object(path)
    files = meta.get("files")
    if not isinstance(files, dict) or any(Path(name).name != name for name in files):
        raise DamagedFile(f"{path} is damaged (files must map names of files to checksums); use an earlier copy.")
    for name, expected in files.items() if verify else ():
        if not fetched(folder / name) or file_sha256(folder / name) != expected:
            raise DamagedFile(f"{folder / name} is damaged (its sha256 differs from {META}); use an earlier copy.")
    return meta


def save_model(
    folder: Path,
    weights: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    adapter: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None = None,
    replaces: bool | None = None,
) -> None:
    """Write ``model.safetensors`` and ``meta.json``; the folder appears only when it is complete.

    Args:
        folder: Folder to write.
        weights: Name -> tensor.
        meta: Content of ``meta.json``; checksums of the files are added.
        adapter: Adapter weights and settings, written in peft's format.
        replaces: Whether a folder of that name is replaced; by default it is. ``False`` where there was none when the
            training began: one that is there now was made by another process, and stays.
    """
    with atomic_folder(folder, replaces) as partial:
        save_file(copy_weights(weights), partial / "model.safetensors")
        if adapter is not None:
            save_file(copy_weights(adapter[0]), partial / ADAPTER[0])
            (partial / ADAPTER[1]).write_text(json.dumps(adapter[1], indent=1, sort_keys=True))
        _seal(partial, meta)


def open_weights(path: Path, key: str | None = None) -> WeightsFile:
    """Read weights from a folder of ours, whose checksums are compared, or from any other file or folder.

    Args:
        path: File or folder.
        key: Place of the state dict within the file, if it holds several.

    Returns:
        The weights, with what was chosen or left out.

    Raises:
        DamagedFile: The file is damaged or is no weights file.
        UserError: There is no file, or it holds no state dict or several.
    """
    if fetched(path / META):
        read_meta(path)
    return read_weights(path, key)


def load_weights(path: Path) -> Weights:
    """Read the weights alone, as ``open_weights``."""
    return open_weights(path).weights


@dataclass
class TrainState:
    """Everything that a run needs to continue as if it had never stopped."""

    step: int
    model: Weights
    optimizer: OptimizerState
    method: Weights
    rng: Tensor
    progress: dict[str, Any] = field(default_factory=dict)
    """Counters and stop-rule state (numbers, strings, lists only)."""
    kept: Weights | None = None
    """Weights of the best state so far, where a stop rule keeps one."""
    parts: Path | None = None
    """Folder of a sharded state, from which ``model``, ``optimizer`` and ``kept`` are still to be read."""

    @property
    def sharded(self) -> bool:
        """Whether the weights are spread over workers."""
        return any(map(is_part, self.model.values()))


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
        torch.save(rest, partial / REST)
        _seal(partial, {"step": state.step, "progress": state.progress, "config_digest": config_digest})


def load_state(folder: Path, config_digest: str) -> TrainState:
    """Read a train state.

    Args:
        folder: Folder that ``save_state`` wrote, or ``StateSaver`` of ``cu_core.sharded_state``.
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
    sharded = PARTS in meta["files"]
    try:
        rest = torch.load(folder / REST, map_location="cpu", weights_only=True)
        found = {name: rest[name] for name in ("method", "rng", *(() if sharded else ("optimizer",)))}
    except (UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
        raise damaged(folder / REST, error, "use an earlier copy") from error
    about = {"step": meta["step"], "progress": meta["progress"], **found}
    if sharded:
        return TrainState(model={}, optimizer={}, parts=folder, **about)
    kept = folder / "kept.safetensors"
    return TrainState(
        model=load_file(folder / "model.safetensors"), kept=load_file(kept) if kept.is_file() else None, **about
    )
