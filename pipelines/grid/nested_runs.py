"""Many cells in MLflow: one parent run, and a nested run per cell, which is written once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from cu_core.config import RunConfig
from cu_core.config_io import as_plain
from cu_core.errors import ConfigError
from pipelines.console import console
from pipelines.grid.cells import Cell, Failure, Outcome
from pipelines.run.record import figures
from pipelines.tracking.mlflow_runs import end_run, log_figures, log_files, start_run
from pipelines.tracking.server import open_client, tracking_uri
from pipelines.tracking.step_log import deliver, impatient, read_steps

PARENT, DIGEST = "mlflow.parentRunId", "cell_digest"


class Recorder:
    """Records cells in MLflow. It is called with every finished cell."""

    def __init__(self, config: RunConfig, name: str, settings: dict[str, Any], digest: str):
        """Open the parent run on the server of ``config``. An earlier parent is found by ``digest``."""
        self.config = replace(config, name=name)
        self.client = open_client(config)
        self.parent = start_run(self.config, settings, {"compare_digest": digest}, self._earlier(digest))
        self.there = self._children()
        self.late: list[tuple[Cell, Outcome, str | None]] = []
        """Cells that MLflow did not accept at first."""

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
        """Return the digests of cells with a complete nested run. Incomplete nested runs are deleted."""
        whole = set()
        for run_id, tags in self._find(f"tags.`{PARENT}` = '{self.parent}'"):
            if tags.get("whole") == "yes":
                whole.add(tags[DIGEST])
            else:
                self.client.delete_run(run_id)
        return whole

    def __call__(self, cell: Cell) -> None:
        if cell.outcome is not None:
            self.add(cell, cell.outcome)

    def add(self, cell: Cell, outcome: Outcome, status: str | None = None) -> None:
        """Record a cell. ``status`` is that of MLflow; ``None``: FINISHED or FAILED, by the outcome."""
        if cell.digest in self.there or cell.digest in [waiting.digest for waiting, _, _ in self.late]:
            return
        try:
            with impatient():
                self._write(cell, outcome, status)
        except (MlflowException, ConfigError) as error:
            if not self.late:
                reason = str(error).splitlines()[0][:200]
                console.print(f"MLflow did not accept {cell.label}; it is sent again at the end: {reason}")
            self.late.append((cell, outcome, status))

    def _write(self, cell: Cell, outcome: Outcome, status: str | None) -> None:
        config = replace(cell.plan.config, name=cell.label)
        settings = as_plain(config)
        tags = {PARENT: self.parent, DIGEST: cell.digest, "method": cell.plan.config.method.name}
        run_id = start_run(config, settings, tags, None)
        deliver(read_steps(cell.folder), tracking_uri(config), run_id, sent=0)
        if isinstance(outcome, Failure):
            self.client.set_tag(run_id, "reason", outcome.reason)
        else:
            log_figures(config, run_id, figures(outcome), {"verdict": outcome.verdict.word})
        end_run(config, run_id, status or ("FAILED" if isinstance(outcome, Failure) else "FINISHED"))
        self.client.set_tag(run_id, "whole", "yes")
        self.there.add(cell.digest)

    def finish(self, status: str, folder: Path | None = None, means: dict[str, float] | None = None) -> None:
        """End the parent run. Files of ``folder`` become its artifacts, ``means`` its metrics.

        Raises: MlflowException, ConfigError if MLflow does not answer for some minutes.
        """
        if self.late and status == "FINISHED":  # otherwise a later start finds the cells and sends them
            self.there = self._children()
            for cell, outcome, own in self.late:
                if cell.digest not in self.there:
                    self._write(cell, outcome, own)
            self.late = []
        if means:
            log_figures(self.config, self.parent, means, {})
        if folder is not None:
            log_files(self.config, self.parent, folder, [p.name for p in sorted(folder.iterdir()) if p.is_file()])
        end_run(self.config, self.parent, status)
