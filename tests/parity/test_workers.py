"""Whole runs: the same result on 1, 2 and 4 ranks, and resumed from any checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cu_core.checkpoint import TrainState, load_state, save_state
from cu_core.config import RunConfig
from cu_core.dist import data_parallel, rank
from cu_core.run import Hooks, run_train, run_unlearn
from cu_core.types import StepReport
from cu_core.workspace import Workspace
from tests.conftest import small
from tests.parity.ranks import on_ranks

MODELS: dict[str, dict[str, Any]] = {
    "synced": {"model": {"name": "resnet10", "width": 8}, "batch_norm": "synced"},
    "frozen": {"model": {"name": "resnet10", "width": 8}, "batch_norm": "frozen"},
    "vit": {"model": {"name": "vit_mini", "width": 32, "depth": 2, "patch_size": 2}},
}
STEPS = 5


def config_of(digits: Path, storage: Path, model: str, precision: str, **parts: Any) -> RunConfig:
    return small(
        digits,
        storage,
        **MODELS[model],
        workers={"precision": precision, "checkpoint_every": 2},
        train={"epochs": 1, "batch": 64},
        batches={"forget_batch": 10, "retain_batch": 14, "omega": 2},
        stop={"max_steps": STEPS, "check_every": 2, "further_steps": 100},
        **parts,
    )


def unlearn_steps(config: RunConfig, original: Path, request: Path, out: Path) -> list[dict[str, float]]:
    """Values of every step, with the final weights' norm."""
    steps: list[dict[str, float]] = []

    def on_step(report: StepReport) -> None:
        steps.append(dict(report.values))

    hooks = Hooks(on_step=on_step, wrap=lambda m: data_parallel(m, broadcast_buffers=False))
    run_unlearn(Workspace(config, request), original, out, hooks)
    if rank() == 0:
        weights = load_file(out / "model.safetensors")
        steps.append({n: float(w.double().norm()) for n, w in weights.items()})
    return steps


@pytest.fixture(
    scope="module",
    params=[("synced", "float64"), ("frozen", "float64"), ("vit", "float64"), ("synced", "float32")],
    ids="-".join,
)
def job(
    request: pytest.FixtureRequest, digits: Path, storage: Path, class_request: Path, tmp_path_factory: Any
) -> tuple[str, RunConfig, Path, Path, Path]:
    model, precision = request.param
    config = config_of(digits, storage, model, precision)
    place = tmp_path_factory.mktemp("parity")
    run_train(Workspace(config), place / "original", Hooks())
    return precision, config, place / "original", class_request, place


def test_steps_are_the_same_on_1_2_and_4_ranks(job: tuple[str, RunConfig, Path, Path, Path]) -> None:
    precision, config, original, request, place = job
    want = unlearn_steps(config, original, request, place / "one")
    tolerance = 1e-8 if precision == "float64" else 1e-5
    for world in (2, 4):
        have = on_ranks(world, unlearn_steps, config, original, request, place / f"ranks{world}")
        assert len(have) == len(want) == STEPS + 1
        for expected, got in zip(want, have, strict=True):
            assert got == pytest.approx(expected, rel=tolerance, abs=tolerance)


def train_steps(config: RunConfig, request: Path | None, out: Path) -> list[dict[str, float]]:
    """Values of every step of a training, with the final weights."""
    steps: list[dict[str, float]] = []
    hooks = Hooks(
        on_step=lambda report: steps.append({"loss": report.values["loss"]}),
        wrap=lambda m: data_parallel(m, broadcast_buffers=False),
    )
    run_train(Workspace(config, request), out, hooks)
    if rank() == 0:
        weights = load_file(out / "model.safetensors")
        steps.append({f"{n} {i}": float(x) for n, w in weights.items() for i, x in enumerate(w.double().flatten()[:9])})
    return steps


@pytest.mark.parametrize("model", ["synced", "vit"])
@pytest.mark.parametrize("oracle", [False, True])
def test_trainings_are_the_same_on_1_2_and_4_ranks(
    model: str, oracle: bool, digits: Path, storage: Path, class_request: Path, tmp_path: Path
) -> None:
    """In float64, of a fifth of an epoch: later, differences of rounding grow."""
    config = config_of(digits, storage, model, "float64")
    config = replace(config, train=replace(config.train, epochs=0.2))
    request = class_request if oracle else None
    want = train_steps(config, request, tmp_path / "one")
    assert len(want) > 3
    for world in (2, 4):
        have = on_ranks(world, train_steps, config, request, tmp_path / f"ranks{world}")
        for expected, got in zip(want, have, strict=True):
            assert got == pytest.approx(expected, rel=1e-8, abs=1e-8)


def train_states(run: Callable[[Hooks], Any], place: Path) -> list[Path]:
    saved: list[Path] = []

    def save(state: TrainState) -> None:
        saved.append(place / f"step-{state.step}")
        save_state(saved[-1], state, "digest")

    run(Hooks(save=save))
    return saved


@pytest.mark.parametrize(
    "method",
    [
        {"name": "contrastive", "pull_weights": "tilted", "lambda_cosine": 0.5},
        {"name": "finetune"},
    ],
)
def test_a_resumed_run_ends_with_the_same_weights(
    digits: Path, storage: Path, class_request: Path, tmp_path: Path, method: dict[str, Any]
) -> None:
    config = config_of(digits, storage, "synced", "float32", method=method, optimizer={"name": "adamw", "lr": 1e-3})
    run_train(Workspace(config), tmp_path / "original", Hooks())
    saved = train_states(
        lambda hooks: run_unlearn(
            Workspace(config, class_request), tmp_path / "original", tmp_path / "straight", hooks
        ),
        tmp_path,
    )
    want = load_file(tmp_path / "straight" / "model.safetensors")
    assert [p.name for p in saved] == ["step-2", "step-4"]
    for checkpoint in saved:
        hooks = Hooks(latest=lambda c=checkpoint: load_state(c, "digest"))  # type: ignore[misc]
        result = run_unlearn(
            Workspace(config, class_request), tmp_path / "original", tmp_path / checkpoint.name / "out", hooks
        )
        have = load_file(tmp_path / checkpoint.name / "out" / "model.safetensors")
        assert all(torch.equal(have[n], want[n]) for n in want)
        assert result.steps == STEPS
        assert result.retain_ids_checked == STEPS * 14


def test_a_checkpoint_of_another_configuration_is_refused(digits: Path, storage: Path, tmp_path: Path) -> None:
    config = config_of(digits, storage, "vit", "float32")
    saved = train_states(
        lambda hooks: run_train(Workspace(config), tmp_path / "m", replace(hooks, wants_checkpoint=lambda: True)),
        tmp_path,
    )
    with pytest.raises(ValueError, match="belongs to another configuration"):
        load_state(saved[0], "another")
