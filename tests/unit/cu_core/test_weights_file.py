"""What is read of a weights file; hostile files are in tests/hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cu_core.errors import DamagedFile, UserError
from cu_core.weights_file import read_json_object, read_weights, weights_within


def test_parameters_are_read_without_their_gradient(tmp_path: Path) -> None:
    torch.save({"w": torch.nn.Parameter(torch.tensor([1.0, 2.0]))}, tmp_path / "w.pt")
    found = read_weights(tmp_path / "w.pt")
    assert torch.equal(found.weights["w"], torch.tensor([1.0, 2.0]))
    assert not found.weights["w"].requires_grad
    assert (found.path, found.notes) == (tmp_path / "w.pt", ())


def test_safetensors_come_before_pickles_within_a_folder(tmp_path: Path) -> None:
    for name in ("pytorch_model.bin", "model.safetensors"):
        (tmp_path / name).touch()
        assert weights_within(tmp_path) == tmp_path / name
    with pytest.raises(UserError, match="no weights at .*nowhere"):
        read_weights(tmp_path / "nowhere")


def test_json_that_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(DamagedFile, match="must be an object, it is a list"):
        read_json_object(tmp_path / "a.json")
