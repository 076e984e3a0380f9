"""A sample of settings is flipped: weights and figures change where the keys do, and nowhere else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cu_core.config import RunConfig
from cu_core.config_io import as_plain, config_from, split_internal
from cu_core.data.schema import read_manifest, write_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.evidence import gather
from cu_core.run import Hooks, import_original, load_model, run_train, run_unlearn
from cu_core.workspace import Workspace
from cu_core.yaml_io import overridden
from tests.conftest import small

IDLE = [
    "name=other",
    "workers.cpus=0.5",
    "workers.count=3",
    "workers.placement=SPREAD",
    "workers.checkpoint_every=1",
    "workers.max_failures=0",
    "tracking.experiment=other",
]
TRAINED = ["seed=1", "workers.precision=bfloat16", "train.epochs=0.3", "train.batch=32", "train.augment=crop_flip"]
TRAINED += ["train.optimizer.lr=0.01", "train.optimizer.momentum=0.5", "train.optimizer.weight_decay=0.1"]
UNLEARNED = ["seed=1", "workers.precision=bfloat16", "batch_norm=frozen", "batch_norm=retain", "optimizer.lr=0.5"]
UNLEARNED += ["optimizer.momentum=0.5", "optimizer.clip_norm=0.001", "batches.forget_batch=5", "batches.retain_batch=5"]
UNLEARNED += ["batches.omega=1", "batches.augment=crop_flip", "stop.max_steps=2", "method.lambda_ce=3"]
FIGURES = ["seed=1", "audit.max_rows=20", "audit.report_on=stop", "audit.low_fpr=0.3"]
NOT_FIGURES = ["audit.margin_points=2", "audit.family_error=0.2", "stop.max_steps=2", "optimizer.lr=0.5"]


@pytest.fixture(scope="module")
def config(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return small(
        digits,
        tmp_path_factory.mktemp("results"),
        train={"epochs": 0.2, "batch": 64, "optimizer": {"lr": 0.05}},
        stop={"max_steps": 3, "rule": "none"},
        batches={"omega": 2, "forget_batch": 16, "retain_batch": 16},
        optimizer={"lr": 0.05},
        audit={"oracles": 0, "audits": ["accuracy", "membership"], "max_rows": 60},
    )


@pytest.fixture(scope="module")
def original(config: RunConfig) -> Path:
    run_train(Workspace(config), config.store / "original", Hooks())
    return config.store / "original"


@pytest.fixture(scope="module")
def unlearned(config: RunConfig, original: Path, class_request: Path) -> Path:
    run_unlearn(Workspace(config, class_request), original, config.store / "unlearned", Hooks())
    return config.store / "unlearned"


def flipped(config: RunConfig, setting: str) -> RunConfig:
    plain = overridden(as_plain(config), [setting])
    internal = split_internal(plain)
    return config_from(plain, internal)


def same(one: Path, other: Path) -> bool:
    a, b = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("setting", [*TRAINED, *IDLE, "batch_norm=per_rank", "audit.max_rows=20", "optimizer.lr=0.5"])
def test_a_trained_model_changes_with_its_key(setting: str, config: RunConfig, original: Path, tmp_path: Path) -> None:
    other = flipped(config, setting)
    run_train(Workspace(other), tmp_path / "other", Hooks())
    changed = config.original_key("d") != other.original_key("d")
    assert changed == (setting in TRAINED)
    assert changed != same(original, tmp_path / "other")


@pytest.mark.parametrize("setting", [*UNLEARNED, *IDLE, *NOT_FIGURES[:2], *FIGURES[1:]])
def test_an_unlearned_model_changes_with_its_key(
    setting: str, config: RunConfig, original: Path, unlearned: Path, class_request: Path, tmp_path: Path
) -> None:
    other = flipped(config, setting)
    run_unlearn(Workspace(other, class_request), original, tmp_path / "other", Hooks())
    changed = config.result_digest("d", "f") != other.result_digest("d", "f")
    assert changed == (setting in UNLEARNED)
    assert changed != same(unlearned, tmp_path / "other")


@pytest.mark.parametrize("setting", [*FIGURES, *NOT_FIGURES])
def test_figures_change_with_their_key(
    setting: str, config: RunConfig, original: Path, class_request: Path, tmp_path: Path
) -> None:
    other = flipped(config, setting)

    def figures(settings: RunConfig) -> Any:
        return gather(Workspace(settings, class_request), {"model": original}, torch.device("cpu")).alone

    figures(config)
    before, stored = figures(config), len(list((config.store / "audits").glob("*.json")))  # as they are stored
    after = figures(other)
    assert (after != before) == (setting in FIGURES)
    assert len(list((config.store / "audits").glob("*.json"))) - stored == (setting in FIGURES)


def test_weights_from_a_file_are_normalised_as_the_data_that_they_are_used_on(
    config: RunConfig, original: Path, digits: Path, tmp_path: Path
) -> None:
    brighter = Path(shutil.copytree(digits, tmp_path / "brighter"))
    manifest = read_manifest(brighter)
    write_manifest(brighter, replace(manifest, pixel_mean=(0.9,)))
    for folder in (digits, brighter):
        run = flipped(flipped(config, f"model.weights={original}"), f"data.path={folder}")
        own = ShardReader(folder).manifest
        kept = tmp_path / "models" / run.original_key(own.digest)
        if not kept.exists():  # as every command looks for it
            import_original(Workspace(run), kept)
        assert load_model(run, Workspace(run).reader, kept).preprocess.mean == own.pixel_mean
