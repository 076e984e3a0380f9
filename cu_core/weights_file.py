"""Weights files as people have them -> names and tensors. Nothing in a file is executed; content tells its kind."""

from __future__ import annotations

import argparse
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cu_core.errors import DamagedFile, UserError
from cu_core.storage import fetched

META = "meta.json"
"""Record of a folder that this tool saved."""
FILES = ("model.safetensors", "pytorch_model.bin")
"""Weights within a folder, in the order in which they are looked for."""
DEPTH = 2
"""Wrappers around a state dict that are opened; deeper mappings are those of optimizers."""
DEEPEST = 10
"""Wrappers among which a state dict is looked for to name it."""
INFLATION = 4
"""How many times larger than the file the tensors of a compressed archive may be."""
OTHER_FORMATS: Mapping[bytes, str] = {
    b"version https://git-lfs": "a Git-LFS pointer, not the weights; fetch them with `git lfs pull`",
    b"\x89HDF": "an HDF5 file (Keras)",
    b"GGUF": "a GGUF file",
    b"\x08": "perhaps an ONNX file",
    b"\x1f\x8b": "compressed with gzip; unpack it",
    b"<": "a web page or XML",
}
HARMLESS: tuple[Any, ...] = (
    argparse.Namespace,
    np.dtype,
    np.ndarray,
    *{type(np.dtype(code)) for code in "?bhilqBHILQefdgFDSU"},
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((np.zeros(1).__reduce__()[0], f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
)
"""Classes and functions beside torch's own that may be unpickled: they make values and do nothing else."""
FOREIGN = r"(?:GLOBAL |but got <class ')([\w.]+)"
"""What torch's reader names as neither tensor, number nor text."""
UNREADABLE = (
    SafetensorError, UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError,
    AssertionError, NotImplementedError, ImportError, MemoryError, OverflowError, OSError, struct.error,
)  # fmt: skip
"""What torch's and safetensors' readers raise for damaged content."""


KEEP = (
    'keep = lambda x: keep(x.state_dict()) if hasattr(x, "state_dict") else {k: keep(v) for k, v in x.items() '
    'if hasattr(v, "items") or hasattr(v, "state_dict") or torch.is_tensor(v)} if hasattr(x, "items") else x'
)
"""Python that takes the tensors out of what a file holds."""


@dataclass(frozen=True)
class WeightsFile:
    """The content of a weights file."""

    path: Path
    weights: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    """What was chosen or left out, one line each."""


def read_weights(path: Path, key: str | None = None) -> WeightsFile:
    """Read a safetensors file or a state dict of ``torch.save``, whatever its suffix, or a folder that holds one.

    Args:
        path: File or folder.
        key: Place of the state dict within the file, e.g. ``ema`` or ``teacher.model``; needed if there are several.

    Returns:
        The weights, with what was chosen or left out.

    Raises:
        DamagedFile: The file is damaged or is no weights file.
        UserError: There is no file, it would have to be executed, or it holds no state dict or several.
    """
    file = weights_within(path) if path.is_dir() else path
    if not fetched(file) or not file.is_file():
        raise UserError(f"no weights at {file}.")
    try:
        loaded = _load(file)
    except UserError:
        raise
    except UNREADABLE as error:
        raise _unreadable(file, error) from error
    place, found = _chosen(file, _state_dicts(file, loaded), key)
    others = [str(name) for name, value in found.items() if not isinstance(value, Tensor)]
    weights = {_name(file, name): _dense(file, name, v) for name, v in found.items() if isinstance(v, Tensor)}
    notes = [f"{file}: the weights under {place!r} are read"] if place else []
    if others:
        notes.append(f"{file}: {len(others)} entries are no tensors and are left out: {', '.join(others[:3])[:200]}")
    return WeightsFile(file, weights, tuple(notes))


def weights_within(folder: Path) -> Path:
    """Return the weights file of a folder.

    Raises:
        UserError: There is none, or the weights are spread over several.
    """
    found = [folder / name for name in FILES if fetched(folder / name)]
    if found:
        return found[0]
    if any((folder / f"{name}.index.json").is_file() for name in FILES):
        raise UserError(f"{folder}: its weights are spread over several files; save them as one model.safetensors.")
    raise UserError(f"no weights at {folder / FILES[0]}.")


def _load(file: Path) -> Any:
    with file.open("rb") as stream:
        head = stream.read(64)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < file.stat().st_size:
            return dict(load_file(file))
        if head[:2] == b"PK":
            _check_archive(stream, file.stat().st_size)
        elif head[:1] != b"\x80":
            kind = next((what for start, what in OTHER_FORMATS.items() if head.startswith(start)), None)
            raise UnpicklingError(f"it is {kind}" if kind else "it does not begin as torch.save writes")
    # torch.load judges a path by its suffix.
    with file.open("rb") as stream, torch.serialization.safe_globals(list(HARMLESS)):
        return torch.load(stream, map_location="cpu", weights_only=True)


def _check_archive(stream: BinaryIO, size: int) -> None:
    """torch.load compares no checksums: a changed byte would be another weight."""
    try:
        with zipfile.ZipFile(stream) as archive:
            records = archive.infolist()
            names = {record.filename.rpartition("/")[2] for record in records}
            if "constants.pkl" in names:
                raise UnpicklingError("it is a TorchScript archive; save torch.jit.load(FILE).state_dict()")
            if "data.pkl" not in names:
                raise UnpicklingError("it is a zip archive that torch.save did not write")
            if sum(record.file_size for record in records) > INFLATION * size:
                raise UnpicklingError(f"its content is more than {INFLATION} times larger than the file")
            # torch.serialization.set_crc32_options(False) writes no checksums.
            if any(record.CRC for record in records) and (broken := archive.testzip()):
                raise UnpicklingError(f"its record {broken} does not match its checksum; use another copy")
    except (zipfile.BadZipFile, EOFError) as error:
        raise UnpicklingError(f"a broken or truncated archive: {error}") from error


def _unreadable(file: Path, error: Exception) -> UserError:
    (reason, *_) = [*str(error).strip().splitlines(), type(error).__name__]
    if "Weights only load failed" in reason:
        if named := _own_classes(file) or re.findall(FOREIGN, str(error))[:1]:
            return UserError(_resave(file, named))
        reason = "its pickle is damaged or holds more than tensors, numbers and texts"
    return DamagedFile(
        f"{file} is no weights file, neither safetensors nor a state dict of tensors: {reason or type(error).__name__}"
    )


def _own_classes(file: Path) -> list[str]:
    """Return the classes and functions that reading the file would execute."""
    try:
        with file.open("rb") as stream, torch.serialization.safe_globals(list(HARMLESS)):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(stream))
    except UNREADABLE:  # of an old torch: no archive; or its pickle is damaged
        return []


def _resave(file: Path, named: list[str]) -> str:
    """Tell how to save the tensors alone, whatever they lie in: modules and mappings are opened, all else is left."""
    module = any(name.startswith("torch.nn.modules.") for name in named)
    what = "a whole pickled module" if module else "pickled objects"
    return (
        f"{file} holds {what} ({', '.join(named[:3])}), and to read it is to run its code. If you trust it, save the "
        f"tensors alone with two lines of Python: import torch; {KEEP} and "
        f'torch.save(keep(torch.load("{file}", weights_only=False, map_location="cpu")), "weights.pt")'
    )


def _state_dicts(file: Path, loaded: Any) -> dict[str, Mapping[Any, Any]]:
    """Return the innermost mappings that hold tensors, by their place.

    Raises:
        UserError: There is none, or two have the same place.
    """
    found = list(_found(loaded, (), set(), DEPTH))
    if not found:
        deep = next((place for place, _ in _found(loaded, (), set(), DEEPEST)), None)
        where = f" within {DEPTH} mappings; save what lies under {deep!r} alone" if deep else " (names to tensors)"
        raise UserError(f"{file} must hold a state dict{where}.")
    places = [place for place, _ in found]
    for place in places:
        if places.count(place) > 1:
            raise UserError(f"{file} holds several state dicts under {place!r}, by names with dots; save one alone.")
    return dict(found)


def _found(value: Any, place: tuple[str, ...], seen: set[int], depth: int) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    if not isinstance(value, Mapping) or id(value) in seen:
        return
    seen.add(id(value))
    inner = []
    if len(place) < depth:
        inner = [found for k, v in value.items() if isinstance(k, str) for found in _found(v, (*place, k), seen, depth)]
    if inner:
        yield from inner
    elif any(isinstance(v, Tensor) for v in value.values()):
        yield ".".join(place), value


def _chosen(file: Path, found: dict[str, Mapping[Any, Any]], key: str | None) -> tuple[str, Mapping[Any, Any]]:
    places = ", ".join(list(found)[:10])[:500]
    if key is not None:
        if key in found:
            return key, found[key]
        raise UserError(f"model.weights_key={key}: {file} has no state dict there; it has: {places}.")
    if len(found) > 1:
        (first, *_) = found
        raise UserError(f"{file} holds {len(found)} state dicts ({places}); choose one: model.weights_key={first}")
    return next(iter(found.items()))


def _name(file: Path, name: Any) -> str:
    if not isinstance(name, str):
        raise UserError(f"{file}: the names of a state dict must be texts, got {name!r:.100} ({type(name).__name__}).")
    return name


SPECIAL: Mapping[str, Callable[[Tensor], bool]] = {
    "has no values (device meta); save it after loading the weights": lambda x: x.is_meta,
    "is sparse; save it with .to_dense()": lambda x: x.layout != torch.strided,
    "is quantized; save it with .dequantize()": lambda x: x.is_quantized,
    "is a nested tensor; save plain tensors": lambda x: x.is_nested,
}


def _dense(file: Path, name: Any, value: Tensor) -> Tensor:
    for what, holds in SPECIAL.items():
        if holds(value):
            raise UserError(f"{file}: {name} {what}.")
    return value.detach()


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        DamagedFile: It is no JSON, or not an object.
    """
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} is damaged (it is no JSON); use an earlier copy.") from error
    if not isinstance(found, dict):
        raise DamagedFile(
            f"{path} is damaged (it must be an object, it is a {type(found).__name__}); use an earlier copy."
        )
    return found
