"""Cells in MLflow: each once, under one parent, whatever was interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from cu_core.config import RunConfig
from pipelines.grid import nested_runs
from pipelines.grid.cells import Cell, Failure
from pipelines.grid.nested_runs import Recorder
from pipelines.run.plan import make_plan
from pipelines.tracking import step_log
from pipelines.tracking.mlflow_runs import tracking_uri
from tests.unit.pipelines.reports import report


def recorded(config: RunConfig) -> dict[str, Run]:
    client = MlflowClient(tracking_uri(config))
    runs = client.search_runs([client.get_experiment_by_name(config.tracking.experiment).experiment_id])
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}


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
        return step_log.deliver(*args, **words)

    monkeypatch.setattr(nested_runs, "deliver", deliver)
    for cell in [*cells, *cells]:
        recorder.add(cell, Failure("loss is nan"))
    recorder.finish("FINISHED")
    client = MlflowClient(tracking_uri(config))
    runs = client.search_runs([client.get_experiment_by_name(config.tracking.experiment).experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["compare two", "seed 0", "seed 1"]
    assert all(run.data.tags.get("whole") == "yes" for run in runs if "seed" in run.info.run_name)
    assert len({run.data.tags["cell_digest"] for run in runs if "seed" in run.info.run_name}) == 2


def test_a_later_start_goes_on_with_its_parent_and_writes_half_written_cells_again(
    class_config: RunConfig, tmp_path: Path
) -> None:
    config = replace(class_config, storage=str(tmp_path))
    whole, half, failed = (
        Cell(label, make_plan(replace(config, seed=seed))) for seed, label in enumerate(("whole", "half", "failed"))
    )
    first = Recorder(config, "compare", {"seeds": 3}, "digest")
    first.add(whole, report(config, word="under-forgotten", gap=2.5))
    first.add(half, report(config), "KILLED")
    first.finish("KILLED")
    before = recorded(config)
    first.client.delete_tag(before["half"].info.run_id, "whole")

    again = Recorder(config, "compare", {"seeds": 3}, "digest")
    assert (again.parent, again.there) == (first.parent, {whole.digest})
    for cell in (whole, half):
        again.add(cell, report(config))
    again.add(failed, Failure("loss is nan"))
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "table.md").write_text("x")
    again.finish("FINISHED", tmp_path / "page", {"reported/base": 4.0})

    after = recorded(config)
    assert {name: run.info.status for name, run in after.items()} == {
        "compare": "FINISHED", "whole": "FINISHED", "half": "FINISHED", "failed": "FAILED",
    }  # fmt: skip
    assert after["whole"].info.run_id == before["whole"].info.run_id
    assert after["half"].info.run_id != before["half"].info.run_id
    assert after["whole"].data.tags["verdict"] == "under-forgotten"
    assert after["whole"].data.metrics["oracle_gap"] == 2.5
    assert after["failed"].data.tags["reason"] == "loss is nan"
    assert {after[name].data.tags["mlflow.parentRunId"] for name in ("whole", "half", "failed")} == {first.parent}
    assert after["compare"].data.metrics == {"reported/base": 4.0}
    assert [file.path for file in again.client.list_artifacts(first.parent)] == ["table.md"]
    assert Recorder(config, "compare", {}, "another digest").parent != first.parent
