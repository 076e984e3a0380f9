"""A comparison in MLflow: one parent run, a nested run for each cell; what is there already is not written again."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
from mlflow.entities import Metric
from pydantic import TypeAdapter

from cu_core.config import RunConfig
from pipelines.cells import Cell, Failure
from pipelines.compare_config import CompareConfig
from pipelines.job import figures
from pipelines.tracking import end_run, log_figures, log_files, open_client, start_run

PARENT, DIGEST = "mlflow.parentRunId", "cell_digest"
POINTS_AT_ONCE = 1000


class Recorder:
    """Called with every finished cell."""

    def __init__(self, config: RunConfig, name: str, settings: CompareConfig, digest: str):
        """``config`` names storage, server and experiment; the parent of an earlier start is found by ``digest``."""
        self.config = replace(config, name=name)
        self.client = open_client(config)
        self.parent = start_run(self.config, asdict(settings), {"compare_digest": digest}, self._earlier(digest))
        self.there = self._children()

    def _find(self, condition: str) -> list[tuple[str, dict[str, str]]]:
        experiment = self.client.get_experiment_by_name(self.config.tracking.experiment)
        if experiment is None:
            return []
        found, token = [], None
        while True:
            page = self.client.search_runs([experiment.experiment_id], condition, page_token=token)
            found += [(run.info.run_id, run.data.tags) for run in page]
            token = page.token
            if not token:
                return found

    def _earlier(self, digest: str) -> str | None:
        runs = self._find(f"tags.compare_digest = '{digest}'")
        return runs[0][0] if runs else None

    def _children(self) -> set[str]:
        """Digests of the cells whose nested run is whole; what a kill left half written is deleted."""
        whole = set()
        for run_id, tags in self._find(f"tags.`{PARENT}` = '{self.parent}'"):
            if tags.get("whole") == "yes":
                whole.add(tags[DIGEST])
            else:
                self.client.delete_run(run_id)
        return whole

    def __call__(self, cell: Cell) -> None:
        outcome = cell.outcome
        if cell.digest in self.there or outcome is None:
            return
        config = replace(cell.plan.config, name=cell.label)
        settings = TypeAdapter(RunConfig).dump_python(config, mode="json")
        tags = {PARENT: self.parent, DIGEST: cell.digest, "method": cell.plan.config.method.name}
        run_id = start_run(config, settings, tags, None)
        now = int(time.time() * 1000)
        points = [Metric(f"step/{k}", v, now, step) for step, values in cell.steps() for k, v in values.items()]
        if isinstance(outcome, Failure):
            self.client.set_tag(run_id, "reason", outcome.reason)
        else:
            points += [Metric(name, value, now, 0) for name, value in figures(outcome).items()]
            self.client.set_tag(run_id, "verdict", outcome.verdict.word)
        for start in range(0, len(points), POINTS_AT_ONCE):
            self.client.log_batch(run_id, metrics=points[start : start + POINTS_AT_ONCE])
        self.client.set_tag(run_id, "whole", "yes")
        end_run(config, run_id, "FAILED" if isinstance(outcome, Failure) else "FINISHED")
        self.there.add(cell.digest)

    def finish(self, status: str, folder: Path | None = None) -> None:
        """End the parent; with ``folder``, its tables and report are kept as artifacts, its mean gaps as metrics."""
        if folder is not None:
            means = pd.read_csv(folder / "cells.csv").groupby(["group", "method"])["gap"].mean().dropna()
            gaps = {f"gap/{group}/{method}": float(gap) for (group, method), gap in means.items()}
            log_figures(self.config, self.parent, gaps, {})
            log_files(self.config, self.parent, folder, [p.name for p in sorted(folder.iterdir()) if p.is_file()])
        end_run(self.config, self.parent, status)
