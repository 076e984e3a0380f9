"""Many runs: each cell is unlearned and audited once, as Ray tasks. Finished cells are reused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ray
from pydantic import TypeAdapter
from ray.train import TrainingFailedError

from cu_core.audit.report import AuditReport
from cu_core.audit.zero_shot import digests_of
from cu_core.environment import environment, tell_other
from cu_core.errors import NonFiniteError
from cu_core.files import write_text
from cu_core.run import Hooks, run_unlearn
from cu_core.storage import fetched, shown
from cu_core.stored import read_stored
from pipelines.cluster.board import ray_board
from pipelines.cluster.session import ray_session
from pipelines.console import console, counted
from pipelines.errors import root_cause
from pipelines.run.auditing import audit_here
from pipelines.run.folder import RunFolder
from pipelines.run.plan import Plan
from pipelines.run.ray_train import train_workers
from pipelines.run.task_options import device_of, ray_task, task_options
from pipelines.run.training import start_training
from pipelines.run.unlearning import WorkerJob
from pipelines.tracking.step_log import StepLog

REPORTS = TypeAdapter(AuditReport)


AGAIN = "delete it, and it is made again"


@dataclass(frozen=True)
class Failure:
    """A run that cannot be finished, because its loss or gradient is not finite."""

    reason: str


Outcome = AuditReport | Failure


@dataclass(frozen=True)
class Cell:
    """One run of a set of runs."""

    label: str
    plan: Plan

    @cached_property
    def digest(self) -> str:
        """Digest of the report: the models and the settings of the audit."""
        models = [self.plan.digest, *(job.folder.name for job in self.plan.oracles)]
        return self.plan.config.report_key(models, digests_of(self.plan.config.audit.other_data))

    @property
    def folder(self) -> Path:
        """Folder of the unlearned model, which other audits of it share."""
        return self.plan.config.store / "cells" / self.plan.digest

    @property
    def report_file(self) -> Path:
        return self.folder / f"audit-{self.digest}.json"

    @property
    def failures(self) -> tuple[Path, Path]:
        """Files that replace the model and its report if the run diverged."""
        return self.folder / "failed.json", self.folder / f"failed-{self.digest}.json"

    @property
    def outcome(self) -> Outcome | None:
        """Outcome of the cell; ``None`` until it is finished."""
        for failure in self.failures:
            if fetched(failure):
                return read_stored(failure, TypeAdapter(Failure), AGAIN)
        if not fetched(self.report_file):
            return None
        report = read_stored(self.report_file, REPORTS, AGAIN)
        tell_other(shown(self.report_file), report.versions, environment(self.plan.config.workers.device))
        return report


@ray_task
def _run_cell(cell: Cell, *models: None) -> None:
    """Unlearn and audit in this task. Ray starts it when ``models`` are trained. The report is written last."""
    plan, log = cell.plan, StepLog(cell.folder)
    hooks = Hooks(device=device_of(plan.config), on_step=log)
    unlearned = cell.folder / "unlearned"
    try:
        if not fetched(unlearned / "meta.json"):
            run_unlearn(plan.workspace, plan.original.folder, unlearned, hooks)
    except NonFiniteError as error:
        _fail(cell.failures[0], str(error))
        return
    finally:
        log.flush()
    _audit_cell(cell)


def _fail(file: Path, reason: str) -> None:
    write_text(file, json.dumps({"reason": reason}))


@ray_task
def _audit_task(cell: Cell) -> None:
    _audit_cell(cell)


def _audit_cell(cell: Cell) -> None:
    roles: list[str] = []
    try:
        report = audit_here(cell.plan, cell.folder / "unlearned", roles.append)
    except NonFiniteError as error:
        _fail(cell.failures[1], f"while the {roles[-1]} model was audited: {error}")
        return
    write_text(cell.report_file, REPORTS.dump_json(report, indent=1).decode())


def _run_large(cell: Cell, board: Any) -> None:
    """Run a cell of several workers: a Ray Train run from this process, then the audit as a task."""
    place = RunFolder(cell.folder)
    if not fetched(place.unlearned / "meta.json"):
        cell.folder.mkdir(parents=True, exist_ok=True)
        try:
            job = WorkerJob(cell.plan, place, StepLog(cell.folder), board)
            train_workers(job, cell.plan.config, place)
        except TrainingFailedError as error:
            if not isinstance(cause := root_cause(error), NonFiniteError):
                raise
            _fail(cell.failures[0], str(cause))
            return
    ray.get(_audit_task.options(**task_options(cell.plan.config)).remote(cell))


def run_cells(cells: Sequence[Cell], finished: Callable[[Cell], None] = lambda cell: None) -> list[Outcome]:
    """Train the missing models and run the unfinished cells.

    ``finished`` is called for every cell, also for reused ones, as soon as it is finished.
    """
    unique = {cell.digest: cell for cell in cells}
    todo = [cell for cell in unique.values() if cell.outcome is None]
    missing = {job.folder: (cell.plan.workspace, job) for cell in todo for job in cell.plan.missing}
    console.print(
        f"{counted(len(unique), 'cell')}: {len(unique) - len(todo)} found, {len(todo)} to run, "
        f"{counted(len(missing), 'model')} to train"
    )
    for cell in unique.values():
        if cell.outcome is not None:
            finished(cell)
    if todo:
        with ray_session(todo[0].plan.config), ray_board() as board:
            trained = dict(zip(missing, start_training(list(missing.values()), board), strict=True))
            for done, cell in enumerate(_as_they_end(todo, trained, board), 1):
                board.update.remote("cells", done, len(todo), cell.label)
                finished(cell)
    outcomes = [cell.outcome for cell in cells]
    assert all(outcome is not None for outcome in outcomes)
    return [outcome for outcome in outcomes if outcome is not None]


def _as_they_end(todo: Sequence[Cell], trained: Mapping[Path, Any], board: Any) -> Iterator[Cell]:
    """Run the cells of one worker side by side, then those of several, and yield each cell when it has ended."""
    pending: dict[Any, Cell] = {}
    of_folder: dict[Path, Any] = {}
    for cell in [c for c in todo if c.plan.config.workers.count == 1]:
        before = [trained[job.folder] for job in cell.plan.missing]
        before += [of_folder[cell.folder]] if cell.folder in of_folder else []  # another audit of the same model
        task = _run_cell.options(**task_options(cell.plan.config)).remote(cell, *before)
        pending[task] = cell
        of_folder[cell.folder] = task
    while pending:
        ready, _ = ray.wait(list(pending))
        ray.get(ready)
        for task in ready:
            yield pending.pop(task)
    for cell in [c for c in todo if c.plan.config.workers.count > 1]:
        ray.get([trained[job.folder] for job in cell.plan.missing])
        _run_large(cell, board)
        yield cell
