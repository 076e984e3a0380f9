"""Points that MLflow may or may not have taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from cu_core.types import StepReport
from pipelines.tracking import step_log as curves
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
