"""Encoders trained by contrast: the same on 1, 2 and 4 ranks, and resumed from any checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from cu_core.checkpoint import TrainState, load_state, save_state
from cu_core.config import RunConfig
from cu_core.dist import data_parallel, rank
from cu_core.run import Hooks, run_train
from cu_core.types import StepReport
from cu_core.workspace import Workspace
from tests.conftest import small
from tests.parity.ranks import on_ranks

OBJECTIVES: dict[str, dict[str, Any]] = {
    "supcon": {},
    "simclr": {},
    "moco": {"queue": 50, "momentum": 0.9},
}
HEAD = "body.fc."


def config_of(digits: Path, storage: Path, objective: str, precision: str) -> RunConfig:
    """Five steps of 30 rows on the smallest ResNet."""
    contrast = {"projection": 6, "probe_rows": 200, **OBJECTIVES[objective]}
    train = {"epochs": 0.15, "batch": 30, "objective": objective, "contrast": contrast, "optimizer": {"lr": 0.05}}
    model = {"name": "resnet10", "width": 2}
    return small(digits, storage, model=model, train=train, workers={"precision": precision})


def trained(config: RunConfig, request: Path, out: Path) -> tuple[list[float], dict[str, Tensor], dict[str, Tensor]]:
    """Losses of the steps, the method's state before the last step, and the weights of the model."""
    losses: list[float] = []
    states: list[TrainState] = []

    def on_step(report: StepReport) -> None:
        losses.append(report.values["loss"])

    hooks = Hooks(
        on_step=on_step,
        save=states.append,
        wants_checkpoint=lambda: True,
        wrap=lambda m: data_parallel(m, broadcast_buffers=False),
    )
    run_train(Workspace(config, request), out, hooks)
    kept = {name: value.clone() for name, value in states[-1].method.items()}
    return losses, kept, load_file(out / "model.safetensors") if rank() == 0 else {}


def all_trained(configs: list[RunConfig], request: Path, out: Path) -> list[Any]:
    return [trained(c, request, out / c.train.objective) for c in configs]


def test_losses_state_and_weights_are_the_same_on_1_2_and_4_ranks(
    digits: Path, storage: Path, class_request: Path, tmp_path: Path
) -> None:
    configs = [config_of(digits, storage, objective, "float64") for objective in OBJECTIVES]
    want = all_trained(configs, class_request, tmp_path / "one")
    assert [set(state) for _, state, _ in want[:2]] == [set(), set()]
    assert {"queue", "key.body.conv1.weight", "key.body.bn1.running_mean"} <= set(want[2][1])
    for world in (2, 4):
        have = on_ranks(world, all_trained, configs, class_request, tmp_path / f"ranks{world}")
        for (losses, state, weights), (got_losses, got_state, got) in zip(want, have, strict=True):
            assert len(losses) > 4
            assert got_losses == pytest.approx(losses, rel=1e-8)
            torch.testing.assert_close(got_state, state, rtol=1e-7, atol=1e-9)
            for name, value in weights.items():  # the head is fitted by iterations on float32 features
                tolerance = 1e-3 if name.startswith(HEAD) else 1e-7
                torch.testing.assert_close(got[name], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_resumed_training_ends_with_the_same_weights(
    objective: str, digits: Path, storage: Path, tmp_path: Path
) -> None:
    config = config_of(digits, storage, objective, "float32")
    saved: list[Path] = []

    def save(state: TrainState) -> None:
        saved.append(tmp_path / f"step-{state.step}")
        save_state(saved[-1], state, "digest")

    run_train(Workspace(config), tmp_path / "straight", Hooks(save=save, wants_checkpoint=lambda: True))
    want = load_file(tmp_path / "straight" / "model.safetensors")
    assert len(saved) > 3
    for checkpoint in (saved[0], saved[-1]):
        hooks = Hooks(latest=lambda c=checkpoint: load_state(c, "digest"))  # type: ignore[misc]
        run_train(Workspace(config), tmp_path / checkpoint.name / "out", hooks)
        have = load_file(tmp_path / checkpoint.name / "out" / "model.safetensors")
        assert all(torch.equal(have[n], want[n]) for n in want)
