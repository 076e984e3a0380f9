"""Which checkpoint goes on, whichever machine took it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cu_core.checkpoint import TrainState
from cu_core.config import RunConfig
from cu_core.storage import place
from cu_core.types import StepReport
from pipelines.run import training
from pipelines.run.checkpoints import Checkpoints
from pipelines.run.plan import make_plan


def state(step: int) -> TrainState:
    return TrainState(step, {"w": torch.full((3,), float(step))}, {}, {}, torch.get_rng_state())


def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(tmp_path: Path) -> None:
    notes: list[str] = []
    kept = Checkpoints(tmp_path, "digest", notes.append)
    assert kept.latest() is None
    for step in (1, 2, 3):
        kept.save(state(step))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
    newest = tmp_path / "step-00000003" / "model.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    found = kept.latest()
    assert found is not None
    assert found.step == 2
    said, goes_on = notes
    assert "step-00000003/model.safetensors is damaged" in said
    assert goes_on == "goes on after step 2"


def test_another_machine_goes_on_from_what_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"file://{tmp_path / 'bucket'}/runs/a/checkpoints"
    (tmp_path / "bucket").mkdir()
    for machine, step in (("first", 5), ("second", 9)):
        monkeypatch.setenv("CU_CACHE", str(tmp_path / machine))
        kept = Checkpoints(place(address), "digest", lambda line: None)
        found = kept.latest()
        assert (found.step if found else None) == (5 if machine == "second" else None)
        kept.save(state(step))
    cut_off = tmp_path / "bucket" / "runs" / "a" / "checkpoints" / "step-00000012"
    cut_off.mkdir()
    (cut_off / "model.safetensors").write_bytes(b"half")
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "third"))
    kept = Checkpoints(place(address), "digest", lambda line: None)
    found = kept.latest()
    assert found is not None
    assert found.step == 9
    kept.save(state(13))
    assert sorted(p.name for p in cut_off.parent.iterdir()) == ["step-00000009", "step-00000013"]
    kept.clear()
    assert not list(cut_off.parent.iterdir())


def test_a_training_that_was_cut_off_ends_as_a_straight_one(
    class_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "TRAINING_PAUSE", 0.0)
    weights = []
    for name, last in (("straight", None), ("cut_off", 20)):
        plan = make_plan(RunConfig(**{**vars(class_config), "storage": str(tmp_path / name)}))
        steps: list[int] = []

        def on_step(step: StepReport, last: int | None = last, steps: list[int] = steps) -> None:
            steps.append(step.step)
            if step.step == last:
                raise KeyboardInterrupt

        if last:
            with pytest.raises(KeyboardInterrupt):
                training._train(plan.workspace, plan.original, on_step)
        training._train(plan.workspace, plan.original, lambda step, steps=steps: steps.append(step.step))
        taken = list(range(1, steps[-1] + 1))
        assert steps == taken if last is None else [*taken[:last], *taken[last - 1 :]]
        assert steps[-1] > 40
        weights.append(load_file(plan.original.folder / "model.safetensors"))
        assert not (tmp_path / name / "training" / plan.original.folder.name).exists()
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key
