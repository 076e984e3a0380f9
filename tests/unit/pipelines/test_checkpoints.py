"""Which checkpoint a run goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cu_core.checkpoint import TrainState, save_state
from pipelines.run_folder import RunFolder, latest_checkpoint


def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path)
    assert latest_checkpoint(folder) is None
    for step in (1, 2):
        state = TrainState(step, {"w": torch.ones(3)}, {}, {}, torch.get_rng_state())
        save_state(folder.checkpoints / f"step-{step:08d}", state, "digest")
    newest = folder.checkpoints / "step-00000002"
    assert latest_checkpoint(folder) == newest
    content = bytearray((newest / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (newest / "model.safetensors").write_bytes(content)
    assert latest_checkpoint(folder) == newest.with_name("step-00000001")
    (line,) = folder.notes
    assert "step-00000002/model.safetensors is damaged" in line
    assert line in capsys.readouterr().err
