"""Points that MLflow may or may not have taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from cu_core.config import RunConfig
from cu_core.types import StepReport
from pipelines.grid import nested_runs as compare_tracking
from pipelines.grid.cells import Cell, Failure
from pipelines.grid.nested_runs import Recorder
from pipelines.run.plan import make_plan
from pipelines.tracking import step_log as curves
from pipelines.tracking.mlflow_runs import tracking_uri
from pipelines.tracking.step_log import CurveWriter, StepLog


def test_after_a_failure_mlflow_is_asked_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may commit a batch and not say so; sent again, its points would be there twice."""
    asked: list[int | None] = []

    def deliver(steps: Sequence[Any], uri: str, run_id: str, sent: int | None) -> int:
        asked.append(sent)
        if len(asked) == 2:
            raise MlflowException("no answer in time")
        return len(steps)

    monkeypatch.setattr(curves, "deliver", deliver)
    writer = CurveWriter(StepLog(tmp_path), "http://nowhere", "run", flush_seconds=0, pause_seconds=0)
    for step in (1, 2, 3):
        writer(StepReport(step=step, max_steps=9, values={"loss": 1.0}))
    assert asked == [None, 1, None]


def test_steps_without_a_loss_are_sent_once_too(tmp_path: Path) -> None:
    """Methods in closed form report none."""
    uri = f"sqlite:///{tmp_path / 'm.db'}"
    client = MlflowClient(uri)
    run = client.create_run(client.create_experiment("e", (tmp_path / "a").as_uri())).info.run_id
    log = StepLog(tmp_path)
    log(StepReport(step=1, max_steps=1, values={}, speed={"rows_per_second": 5.0, "data_seconds": 0.1}))
    for _ in range(2):
        assert curves.deliver(log.steps, uri, run) == 1
    for name in ("speed/rows_per_second", "speed/data_seconds"):
        assert len(client.get_metric_history(run, name)) == 1


def test_a_cell_that_mlflow_did_not_take_is_brought_at_the_end(
    class_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(class_config, storage=str(tmp_path))
    cells = [Cell(f"seed {seed}", make_plan(replace(config, seed=seed))) for seed in (0, 1)]
    recorder = Recorder(config, "compare two", {}, "digest")
    broken = [True]

    def deliver(*args: Any, **words: Any) -> int:
        if broken:
            broken.clear()
            raise MlflowException("no answer in time")
        return curves.deliver(*args, **words)

    monkeypatch.setattr(compare_tracking, "deliver", deliver)
    for cell in [*cells, *cells]:
        recorder.add(cell, Failure("loss is nan"))
    recorder.finish("FINISHED")
    client = MlflowClient(tracking_uri(config))
    runs = client.search_runs([client.get_experiment_by_name(config.tracking.experiment).experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["compare two", "seed 0", "seed 1"]
    assert all(run.data.tags.get("whole") == "yes" for run in runs if "seed" in run.info.run_name)
    assert len({run.data.tags["cell_digest"] for run in runs if "seed" in run.info.run_name}) == 2
