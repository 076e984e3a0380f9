"""Mutated and invented weights files: each is read or refused by UserError, never another exception."""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from cu_core.checkpoint import open_weights, read_meta, save_model
from cu_core.errors import UserError
from cu_core.models.classifier import Classifier
from cu_core.models.match_weights import PREFIXES, Fit, restore_foreign
from cu_core.models.preprocess import Preprocess

WRAPPERS = ("model", "net", "state_dict", "model_state_dict", "teacher", "student", "ema", "optimizer", "args")
ODD_VALUES: tuple[Any, ...] = (
    None, 3, "text", [1, 2], float("nan"), np.float64(2), argparse.Namespace(a=1), {"a": 1}, torch.ones(2, 2),
    torch.ones(2).to_sparse(), torch.empty(3, device="meta"), torch.ones(2).to(torch.float8_e5m2),
    torch.ones(1).expand(9),
    torch.ones(2, dtype=torch.complex64), torch.zeros(0), torch.full((4, 3, 1, 1), float("inf")),
)  # fmt: skip
ODD_NAMES: tuple[Any, ...] = (0, -1, ("a", 1), "", ".", "module.", "body.", "é" * 50, None, 1.5, b"bytes", True)


def fresh() -> Classifier:
    """The model into which files are read."""
    body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    model = Classifier(body, "3", "1", Preprocess(4, (0.5,) * 3, (0.5,) * 3))
    model.heads = ("body.4",)
    return model


def invented(draw: np.random.Generator) -> Any:
    """A state dict with prefixes, wrappers and odd entries."""
    prefix = "".join(draw.choice(PREFIXES, draw.integers(3)))
    state: Any = {prefix + k: v for k, v in fresh().body.state_dict().items()}
    for _ in range(draw.integers(3)):
        names = [*state, *ODD_NAMES]
        name = names[draw.integers(len(names))]
        state[name] = ODD_VALUES[draw.integers(len(ODD_VALUES))]
    if draw.random() < 0.3 and state:
        state.pop(list(state)[draw.integers(len(state))])
    for _ in range(draw.integers(4)):
        state = {
            str(draw.choice(WRAPPERS)): state,
            str(draw.choice(WRAPPERS)): ODD_VALUES[draw.integers(len(ODD_VALUES))],
        }
    return state


def written(draw: np.random.Generator) -> bytes:
    """A file of any of the formats."""
    if draw.random() < 0.3:
        tensors: dict[str, Tensor] = {k: v.contiguous() for k, v in fresh().body.state_dict().items()}
        return save_safetensors(tensors)
    out = io.BytesIO()
    torch.save(invented(draw), out, _use_new_zipfile_serialization=bool(draw.random() < 0.6))
    return out.getvalue()


def mutated(content: bytes, draw: np.random.Generator) -> bytes:
    """The content with bytes flipped, cut, doubled or overwritten, or as it is."""
    changed = bytearray(content)
    for _ in range(draw.integers(4)):
        place = int(draw.integers(max(1, min(len(changed), 4096 if draw.random() < 0.7 else len(changed)))))
        match draw.integers(5):
            case 0 if changed:
                changed[place] ^= 1 << int(draw.integers(8))
            case 1:
                del changed[place:]
            case 2:
                changed[place:place] = changed[place : place + int(draw.integers(64))]
            case 3:
                changed[place : place + 8] = int(draw.integers(2**63)).to_bytes(8, "little")
            case _:
                del changed[place : place + int(draw.integers(64))]
    return bytes(changed)


def try_file(path: Path, draw: np.random.Generator) -> None:
    """Read a file into a model; a refusal is one line."""
    key = str(draw.choice(WRAPPERS)) if draw.random() < 0.2 else None
    fit = Fit(new_head=bool(draw.random() < 0.3), option="model.start")
    try:
        restore_foreign(fresh(), fit, open_weights(path, key).weights, str(path))
    except UserError as error:
        if "\n" in str(error) or not str(error):
            raise AssertionError(f"a refusal must be one line, got {str(error)!r}") from error


def try_record(folder: Path, draw: np.random.Generator) -> None:
    """Read a model folder whose record was changed."""
    if not (folder / "meta.json").is_file():
        save_model(folder, {"a": torch.ones(2)}, {"result": {"steps": 1}})
    original = (folder / "meta.json").read_bytes()
    values = [None, [], 3, "x", {}, {"files": None}, {"files": {"..": 1}}, {"files": {"a": [1]}}, {"files": {"\0": ""}}]
    value = values[draw.integers(len(values))]
    content = mutated(original, draw) if draw.random() < 0.7 else json.dumps(value).encode()
    (folder / "meta.json").write_bytes(content)
    try:
        read_meta(folder)
    except UserError as error:
        if "\n" in str(error):
            raise AssertionError(f"a refusal must be one line, got {str(error)!r}") from error
    finally:
        (folder / "meta.json").write_bytes(original)


def run(seconds: float, seed: int) -> int:
    """Try files until the time is over; the number of files.

    Raises: AssertionError for the first that is neither read nor refused, with the seed and number that repeat it.
    """
    end, number = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while time.monotonic() < end or number == 0:
            one(Path(place), seed, number)
            number += 1
    return number


def one(place: Path, seed: int, number: int) -> None:
    """Try one input: the same for the same seed and number."""
    draw = np.random.default_rng([seed, number])
    try:
        if number % 8 == 7:
            try_record(place / "m", draw)
            return
        path = place / f"w{draw.choice(['.pt', '.bin', '.safetensors', ''])}"
        path.write_bytes(mutated(written(draw), draw))
        try_file(path, draw)
    except Exception as error:
        raise AssertionError(
            f"input {number} of seed {seed} is neither read nor refused ({type(error).__name__}: {str(error)[:300]}); "
            f"repeat it: tests.hostile.fuzz_weights.one(Path('/tmp'), {seed}, {number})"
        ) from error
