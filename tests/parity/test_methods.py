"""Every method ends with the same weights on 1 and 2 ranks, and resumed from a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cu_core.checkpoint import TrainState, Weights, load_state, save_state
from cu_core.config import RunConfig
from cu_core.dist import data_parallel
from cu_core.methods.table import METHODS
from cu_core.run import Hooks, run_train, run_unlearn
from cu_core.workspace import Workspace
from tests.conftest import small
from tests.parity.ranks import on_ranks

STEPS = 6
CLASSIFIERS = {name: method for name, method in METHODS.items() if "classifier" in method.models}


def config_of(digits: Path, storage: Path, method: str, precision: str, forget_batch: int = 7) -> RunConfig:
    return small(
        digits,
        storage,
        method={"name": method},
        optimizer={"lr": 0.01},
        train={"epochs": 1, "batch": 64},
        workers={"precision": precision, "checkpoint_every": 3},
        batches={"forget_batch": forget_batch, "retain_batch": 9, "omega": 1},
        stop={"max_steps": STEPS, "rule": "none"},
    )


def unlearn_all(
    digits: Path, storage: Path, original: Path, request: Path, out: Path, forget_batch: int
) -> dict[str, Weights]:
    hooks = Hooks(wrap=lambda m: data_parallel(m, broadcast_buffers=False))
    for name in CLASSIFIERS:
        config = config_of(digits, storage, name, "float64", forget_batch)
        run_unlearn(Workspace(config, request), original, out / name, hooks)
    return {name: load_file(out / name / "model.safetensors") for name in CLASSIFIERS if (out / name).is_dir()}


@pytest.fixture(scope="module")
def originals(digits: Path, storage: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("originals")
    for precision in ("float32", "float64"):
        run_train(Workspace(config_of(digits, storage, "finetune", precision)), place / precision, Hooks())
    return {p: place / p for p in ("float32", "float64")}


@pytest.mark.parametrize("forget_batch", [7, 1])  # of one row, a rank has none
def test_every_method_is_the_same_on_two_ranks(
    forget_batch: int,
    digits: Path,
    storage: Path,
    originals: dict[str, Path],
    class_request: Path,
    tmp_path: Path,
) -> None:
    given = (digits, storage, originals["float64"], class_request)
    want = unlearn_all(*given, tmp_path / "one", forget_batch)
    have = on_ranks(2, unlearn_all, *given, tmp_path / "two", forget_batch)
    assert want.keys() == have.keys() == CLASSIFIERS.keys()
    before = load_file(originals["float64"] / "model.safetensors")
    for name in CLASSIFIERS:
        for weight, value in want[name].items():
            torch.testing.assert_close(have[name][weight], value, rtol=1e-8, atol=1e-8, msg=f"{name}: {weight}")
        moved = [w for w in before if w.endswith(("weight", "bias")) and not torch.equal(want[name][w], before[w])]
        assert moved, f"{name} changed no parameter"


@pytest.mark.parametrize("name", [n for n, m in CLASSIFIERS.items() if not m.closed_form])
def test_every_method_resumed_ends_with_the_same_weights(
    name: str, digits: Path, storage: Path, originals: dict[str, Path], class_request: Path, tmp_path: Path
) -> None:
    config = config_of(digits, storage, name, "float32")
    original = originals["float32"]

    def save(state: TrainState) -> None:
        save_state(tmp_path / "checkpoint", state, "digest")

    run_unlearn(Workspace(config, class_request), original, tmp_path / "straight", Hooks(save=save))
    resume = Hooks(latest=lambda: load_state(tmp_path / "checkpoint", "digest"))
    result = run_unlearn(Workspace(config, class_request), original, tmp_path / "resumed", resume)
    want, have = (load_file(tmp_path / n / "model.safetensors") for n in ("straight", "resumed"))
    assert all(torch.equal(have[n], want[n]) for n in want)
    assert result.steps == STEPS
