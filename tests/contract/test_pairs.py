"""Every method that can change an image-text model passes the same tests on a small open_clip model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cu_core.audit.answers import answers_of
from cu_core.audit.subject import Subject
from cu_core.audit.table import METRICS, audit_against, audit_alone, metrics_of
from cu_core.config import RunConfig
from cu_core.config_io import ConfigError
from cu_core.data.requests import resolve_request, save_forget_set
from cu_core.methods.table import METHODS
from cu_core.run import Hooks, fresh_model, open_reader, open_split, run_train, run_unlearn
from cu_core.types import RequestKind
from tests.conftest import small, small_clip

PAIRS = {name: method for name, method in METHODS.items() if "image-text" in method.models}
CASES = [(name, kind) for name, method in PAIRS.items() for kind in method.kinds]
REQUESTS: dict[str, dict[str, object]] = {
    "class": {"kind": "by_concept", "concept": "5"},
    "sample": {"kind": "by_random", "count": 60, "seed": 3},
}
STEPS = 4


def config_of(place: tuple[Path, Path, Path], kind: str, **parts: object) -> RunConfig:
    return small_clip(*place, **{"request": REQUESTS[kind], **parts})


@pytest.fixture(scope="module")
def place(captions: Path, storage: Path, clip_file: Path) -> tuple[Path, Path, Path]:
    return captions, storage, clip_file


@pytest.fixture(scope="module")
def original(place: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip") / "original"
    run_train(config_of(place, "class"), folder, Hooks())
    return folder


def request_of(config: RunConfig, folder: Path) -> Path:
    return save_forget_set(folder / "requests", resolve_request(config.request, open_reader(config), pairs=True))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_rows_are_counted_and_only_the_chosen_tower_changes(
    name: str, kind: RequestKind, place: tuple[Path, Path, Path], original: Path, tmp_path: Path
) -> None:
    batches = {"forget_batch": 10, "retain_batch": 14, "omega": 1}
    stop = {"max_steps": STEPS, "rule": "none"}
    config = config_of(place, kind, method={"name": name}, batches=batches, stop=stop)
    request = request_of(config, tmp_path)
    result = run_unlearn(config, original, request, tmp_path / "out", Hooks())
    split = open_split(config, open_reader(config), request)
    forwarded = result.forget_rows + result.retain_rows + result.frozen_rows
    assert split.forget.kind == kind
    assert forwarded == pytest.approx(config.method.rows_per_step(10, 14) * STEPS)
    assert result.prepare_rows == config.method.rows_to_prepare(len(split.forget.rows), split.num_retain, 1)
    before, after = (load_file(folder / "model.safetensors") for folder in (original, tmp_path / "out"))
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    assert moved
    assert all("visual" in n for n in moved)


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_every_metric_is_computed_finite_and_in_range(
    kind: RequestKind, place: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    config = config_of(place, kind)
    reader = open_reader(config)
    split = open_split(config, reader, request_of(config, tmp_path))
    subjects = [Subject(fresh_model(config, reader, seed), split, config.audit, 0) for seed in (0, 1)]
    answers = [answers_of(subject) for subject in subjects]
    results = {**audit_alone(subjects[0]).metrics, **audit_against(kind, config.audit, answers[0], answers[1:])}
    too_few = {"relearn_50", "relearn_50_steps"} if kind == "sample" else set()
    assert set(results) == set(metrics_of(kind, config.audit)) - too_few
    assert all(np.isfinite(METRICS[name].points(result)) and result.count > 0 for name, result in results.items())


def test_a_method_for_other_models_and_settings_without_effect_are_refused(
    place: tuple[Path, Path, Path], digits: Path
) -> None:
    with pytest.raises(ConfigError, match="method.name=ssd cannot change an image-text model; these can: contrastive"):
        config_of(place, "class", method={"name": "ssd"})
    with pytest.raises(ConfigError, match="method.name=null_space needs an image-text model"):
        small(digits, place[1], method={"name": "null_space"})
    with pytest.raises(ConfigError, match="are for image-text models"):
        small(digits, place[1], trainable={"towers": "both"})
