"""Files that are no weights are named in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cu_core.checkpoint import TrainState, copy_weights, load_state, load_weights, read_meta, save_model, save_state
from cu_core.errors import DamagedFile


@pytest.mark.parametrize("name", ["text.pt", "text.safetensors"])
@pytest.mark.parametrize("content", [b"hello\n", b"", b"PK\x03\x04", b"\x80\x02hello"])
def test_no_weights(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DamagedFile, match=f"{name} is no weights file, neither safetensors nor a state dict"):
        load_weights(tmp_path / name)


@pytest.mark.parametrize("archive", [True, False])
def test_state_dicts_of_new_and_old_torch(archive: bool, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "m.pt", _use_new_zipfile_serialization=archive)
    assert torch.equal(load_weights(tmp_path / "m.pt")["a"], torch.ones(2))


@pytest.mark.parametrize("name", ["meta.json", "model.safetensors"])
def test_a_folder_of_which_a_file_is_broken(name: str, tmp_path: Path) -> None:
    save_model(tmp_path / "m", {"a": torch.ones(2)}, {})
    read_meta(tmp_path / "m")
    (tmp_path / "m" / name).write_bytes(b"broken")
    with pytest.raises(DamagedFile, match=rf"{name} is damaged"):
        read_meta(tmp_path / "m")


def state(kept: bool = True) -> TrainState:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    weight.grad = torch.tensor([0.5, -0.5])
    optimizer.step()
    return TrainState(
        step=7,
        model={"w": weight.detach(), "count": torch.tensor(3, dtype=torch.int64)},
        optimizer={"w": dict(optimizer.state[weight])},
        method={"mask": torch.tensor([True, False])},
        rng=torch.get_rng_state(),
        progress={"result": {"steps": 7}, "stop": {"history": [{"forget": 0.25}]}},
        kept={"w": torch.tensor([5.0, 6.0])} if kept else None,
    )


@pytest.mark.parametrize("kept", [True, False])
def test_a_train_state_comes_back_as_it_was(kept: bool, tmp_path: Path) -> None:
    saved = state(kept)
    save_state(tmp_path / "s", saved, "digest")
    found = load_state(tmp_path / "s", "digest")
    assert (found.step, found.progress) == (saved.step, saved.progress)
    for name in ("model", "method", "kept"):
        want, got = getattr(saved, name) or {}, getattr(found, name) or {}
        assert want.keys() == got.keys()
        assert all(torch.equal(want[k], got[k]) and want[k].dtype == got[k].dtype for k in want)
    assert (found.kept is not None) == kept
    assert torch.equal(found.rng, saved.rng)
    assert torch.equal(found.optimizer["w"]["momentum_buffer"], torch.tensor([0.5, -0.5]))
    with pytest.raises(ValueError, match="belongs to another configuration"):
        load_state(tmp_path / "s", "another digest")


@pytest.mark.parametrize("name", ["model.safetensors", "kept.safetensors", "state.pt"])
def test_a_train_state_of_which_a_byte_changed_is_not_loaded(name: str, tmp_path: Path) -> None:
    save_state(tmp_path / "s", state(), "digest")
    content = bytearray((tmp_path / "s" / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / "s" / name).write_bytes(content)
    with pytest.raises(DamagedFile, match=f"{name} is damaged"):
        load_state(tmp_path / "s", "digest")
    (tmp_path / "s" / name).unlink()
    with pytest.raises(DamagedFile, match=f"{name} is damaged"):
        load_state(tmp_path / "s", "digest")


def test_copies_do_not_change_with_the_model() -> None:
    model = torch.nn.Linear(2, 1)
    copied = copy_weights(model.state_dict())
    want = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.weight.zero_()
    assert all(torch.equal(copied[name], want[name]) for name in want)
    assert not any(value.requires_grad for value in copied.values())


def test_a_model_s_record_and_adapters_lie_beside_its_weights(tmp_path: Path) -> None:
    adapter = ({"lora": torch.tensor([3.0])}, {"r": 4})
    save_model(tmp_path / "m", {"a": torch.ones(2, 2)}, {"result": {"steps": 3}}, adapter)
    meta = read_meta(tmp_path / "m")
    assert meta["result"] == {"steps": 3}
    assert set(meta["files"]) == {"model.safetensors", "adapter_model.safetensors", "adapter_config.json"}
    assert torch.equal(load_weights(tmp_path / "m")["a"], torch.ones(2, 2))
    assert torch.equal(load_weights(tmp_path / "m" / "adapter_model.safetensors")["lora"], torch.tensor([3.0]))
    assert not list(tmp_path.glob("*.partial"))
    (tmp_path / "m" / "adapter_config.json").write_text("{}")
    with pytest.raises(DamagedFile, match="adapter_config.json is damaged"):
        load_weights(tmp_path / "m")
    assert read_meta(tmp_path / "m", verify=False)["result"] == {"steps": 3}


def test_state_dicts_of_trainers_and_what_is_none(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {"a": torch.ones(2)}}, tmp_path / "wrapped.pt")
    assert load_weights(tmp_path / "wrapped.pt").keys() == {"a"}
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    with pytest.raises(ValueError, match="must hold a state dict"):
        load_weights(tmp_path / "none.pt")
    with pytest.raises(ValueError, match="no weights at"):
        load_weights(tmp_path / "nowhere.pt")


def test_a_train_state_replaces_an_earlier_one_whole(tmp_path: Path) -> None:
    save_state(tmp_path / "s", state(), "digest")
    save_state(tmp_path / "s", replace(state(kept=False), step=9), "digest")
    found = load_state(tmp_path / "s", "digest")
    assert (found.step, found.kept) == (9, None)


def test_copied_weights_are_no_part_of_a_graph() -> None:
    weight = torch.ones(2, requires_grad=True)
    copied = copy_weights({"w": weight})["w"]
    assert not copied.requires_grad
    assert copied.data_ptr() != weight.data_ptr()
