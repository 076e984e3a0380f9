"""Weights files as people have them: each is read, or refused in one line that says what to do."""

from __future__ import annotations

import argparse
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cu_core.checkpoint import open_weights, read_meta, save_model
from cu_core.errors import DamagedFile, UserError
from cu_core.weights_file import read_weights
from tests.hostile.fuzz_weights import run

STATE = {"conv.weight": torch.arange(12.0).view(4, 3, 1, 1), "conv.bias": torch.zeros(4)}


def refused(path: Path, *words: str, key: str | None = None) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(UserError) as error:
        open_weights(path, key)
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 1200
    for word in words:
        assert word in line, line
    return line


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[name], STATE[name]) for name in STATE)


def test_safetensors_under_bin_and_the_reverse(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.bin")
    torch.save(STATE, tmp_path / "b.safetensors")
    assert same(read_weights(tmp_path / "a.bin").weights)
    assert same(read_weights(tmp_path / "b.safetensors").weights)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_with_weights_alone(name: str, tmp_path: Path) -> None:
    save_file(STATE, tmp_path / name)
    assert same(open_weights(tmp_path).weights)


def test_a_folder_without_weights_or_with_spread_ones(tmp_path: Path) -> None:
    refused(tmp_path, "no weights at")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    refused(tmp_path, "spread over several files", "model.safetensors")


@pytest.mark.parametrize(
    "wrapper", ["model", "net", "state_dict", "model_state_dict", "teacher", "student", "ema", "mine"]
)
def test_one_wrapper_is_opened_and_told(wrapper: str, tmp_path: Path) -> None:
    torch.save({wrapper: STATE, "epoch": 3, "best": 0.5}, tmp_path / "w.pt")
    found = read_weights(tmp_path / "w.pt")
    assert same(found.weights)
    assert re.search(rf"w.pt: the weights under '{wrapper}' are read", found.notes[0])


def test_wrappers_within_wrappers(tmp_path: Path) -> None:
    torch.save({"teacher": {"model": STATE}}, tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt").notes[0].endswith("under 'teacher.model' are read")


def test_several_ask_for_a_key_with_the_line_to_paste(tmp_path: Path) -> None:
    other = {name: value + 1 for name, value in STATE.items()}
    torch.save({"model": other, "ema": STATE}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "holds 2 state dicts (model, ema)", "model.weights_key=model")
    assert same(read_weights(tmp_path / "w.pt", "ema").weights)
    refused(tmp_path / "w.pt", "model.weights_key=teacher", "it has: model, ema", key="teacher")


def test_the_optimizer_beside_the_weights_is_not_taken_for_weights(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.save({"net": layer.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt").weights.keys() == {"weight", "bias"}


def test_numbers_of_numpy_and_arguments_are_read(tmp_path: Path) -> None:
    more = {"args": argparse.Namespace(lr=0.1), "acc": np.float32(0.5), "rng": np.random.get_state()}
    torch.save({"state_dict": STATE, **more}, tmp_path / "w.pt")
    assert same(read_weights(tmp_path / "w.pt").weights)


def test_values_beside_tensors_are_left_out_and_counted(tmp_path: Path) -> None:
    torch.save({**STATE, "epoch": 3, "name": "x"}, tmp_path / "w.pt")
    found = read_weights(tmp_path / "w.pt")
    assert same(found.weights)
    assert "2 entries are no tensors and are left out: epoch, name" in found.notes[0]


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


class Callback:
    """Of a trainer."""


class Net(nn.Sequential):
    """Of a user."""


@pytest.mark.parametrize("archive", [True, False])
def test_nothing_in_a_file_is_executed(archive: bool, tmp_path: Path) -> None:
    torch.save(
        {"state_dict": STATE, "x": Trap(tmp_path / "ran")}, tmp_path / "w.pt", _use_new_zipfile_serialization=archive
    )
    refused(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_a_trainer_s_objects_and_a_whole_module_tell_the_two_lines(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "callbacks": [Callback()]}, tmp_path / "w.ckpt")
    torch.save({"state_dict": STATE, "c": Callback()}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.ckpt", "Callback", "weights_only=False")
    line = refused(tmp_path / "w.ckpt", "Callback", "weights_only=False", "torch.save(keep(torch.load(")
    torch.save(Net(nn.Linear(2, 2)), tmp_path / "m.pt")
    whole = refused(tmp_path / "m.pt", "a whole pickled module", "torch.save(keep(torch.load(")
    assert "run its code" in line
    assert "run its code" in whole


HELD: dict[str, Any] = {
    "state_dict": {"state_dict": STATE, "callbacks": [Callback()]},
    "model and path": {"model": STATE, "cfg": Path("a")},
    "model and nested path": {"teacher": {"model": STATE, "cfg": {"out": Path("a")}}},
    "flat": {**STATE, "cfg": Path("a")},
    "module": Net(nn.Linear(2, 2)),
    "module in a mapping": {"model": Net(nn.Linear(2, 2)), "epoch": 3},
    "objects of numpy": {"model": STATE, "x": np.array([1, "a", None], dtype=object)},
    "times of numpy": {"model": STATE, "x": np.datetime64("2020-01-01"), "y": np.zeros(1, "datetime64[D]")},
}


@pytest.mark.parametrize("held", HELD)
def test_the_told_lines_save_the_tensors(held: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(HELD[held], "w.pt")
    told = refused(Path("w.pt"), "save the tensors alone with two lines").partition("of Python: ")[2]
    exec("\n".join(told.split(" and ")[-2:]), {})
    found = read_weights(Path("weights.pt")).weights
    assert found.keys() == {"0.weight", "0.bias"} if "module" in held else same(found)


def test_a_state_dict_too_deep_and_two_at_one_place_are_named(tmp_path: Path) -> None:
    torch.save({"a": {"b": {"c": STATE}}}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "must hold a state dict within 2 mappings; save what lies under 'a.b.c' alone")
    torch.save({"model.ema": STATE, "model": {"ema": {**STATE}}}, tmp_path / "w.pt")
    for key in (None, "model.ema"):
        refused(tmp_path / "w.pt", "several state dicts under 'model.ema', by names with dots; save one alone", key=key)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"GGUF\x03", "GGUF"),
        (b"", "no weights file"),
        (b"\x00" * 100, "no weights file"),
        (b"\xff" * 8 + b"{" * 50, "no weights file"),
        (b"\x10" + b"\0" * 7 + b"{}", "no weights file"),
    ],
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_other_files_are_named(content: bytes, words: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"w.{suffix}").write_bytes(content)
    refused(tmp_path / f"w.{suffix}", words)


def test_archives_that_torch_save_did_not_write(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.ones(3))
    refused(tmp_path / "w.npz", "torch.save did not write")
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "s.pt")
    refused(tmp_path / "s.pt", "TorchScript")


def test_a_byte_that_changed_and_a_truncated_archive(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pt")
    content = bytearray((tmp_path / "w.pt").read_bytes())
    content[content.find(STATE["conv.weight"].numpy().tobytes()) + 5] ^= 1
    (tmp_path / "flipped.pt").write_bytes(content)
    refused(tmp_path / "flipped.pt", "does not match its checksum")
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "cut.pt", "no weights file")


def test_archives_without_checksums_are_read(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert same(read_weights(tmp_path / "w.pt").weights)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", pickle.dumps({}))
        archive.writestr("w/data/0", bytes(10_000_000))
    refused(tmp_path / "w.pt", "times larger than the file")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({0: torch.ones(2)}, "names of a state dict must be texts, got 0 (int)"),
        ({("a", 1): torch.ones(2)}, "names of a state dict must be texts"),
        ({"w": torch.eye(2).to_sparse()}, "w is sparse; save it with .to_dense()"),
        ({"w": torch.empty(2, device="meta")}, "w has no values (device meta)"),
        ({"w": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, "w is quantized"),
        ([torch.ones(2)], "must hold a state dict"),
        (torch.ones(2), "must hold a state dict"),
        ({}, "must hold a state dict"),
        (None, "must hold a state dict"),
        ({"a": {"b": {"c": {"d": torch.ones(1)}}}}, "must hold a state dict"),
    ],
)
def test_state_dicts_that_cannot_be_meant(state: object, words: str, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", words)


def test_a_mapping_that_holds_itself_ends(tmp_path: Path) -> None:
    state: dict[str, Any] = dict(STATE)
    state["self"] = state
    torch.save(state, tmp_path / "w.pt")
    assert same(read_weights(tmp_path / "w.pt").weights)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda meta: [meta],
        lambda meta: None,
        lambda meta: {k: v for k, v in meta.items() if k != "files"},
        lambda meta: meta | {"files": ["model.safetensors"]},
        lambda meta: meta | {"files": {"../secret": "0"}},
        lambda meta: meta | {"files": {"model.safetensors": 5}},
    ],
)
def test_records_that_lie(spoil: Callable[[dict[str, Any]], object], tmp_path: Path) -> None:
    save_model(tmp_path / "m", STATE, {"a": 1})
    meta = json.loads((tmp_path / "m" / "meta.json").read_text())
    (tmp_path / "m" / "meta.json").write_text(json.dumps(spoil(meta)))
    with pytest.raises(DamagedFile, match="is damaged"):
        read_meta(tmp_path / "m")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"[" * 100_000, b'{"files": {"a": NaN'])
def test_records_that_are_no_json(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_bytes(content)
    with pytest.raises(DamagedFile, match="is no JSON"):
        read_meta(tmp_path)


def test_two_seconds_of_mutated_files() -> None:
    assert run(2, seed=0) > 50
