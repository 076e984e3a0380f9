"""Files that are no weights are named in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cu_core.checkpoint import DamagedFile, load_weights, read_meta, save_model


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
