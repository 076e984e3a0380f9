"""The audit of a run: in this process, or as Ray tasks, of which each model has some."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from cu_core.audit.report import AuditReport, sample_parts
from cu_core.audit.subject import Part
from cu_core.environment import say
from cu_core.evidence import is_measured, measure_alone, measure_part
from cu_core.files import atomic_file, for_owner
from cu_core.run_audit import ELSEWHERE, SAMPLED, run_audit
from pipelines.cluster.board import ray_board
from pipelines.console import bars
from pipelines.run.plan import Plan
from pipelines.run.task_options import device_of, ray_task, task_options

Samples = Callable[[pa.Table], None]
"""Takes a part of the table of samples."""


def audit_here(
    plan: Plan, unlearned: Path, progress: Callable[[str], None], samples: Samples | None = None
) -> AuditReport:
    """The audit in this process, with the per-sample table if it is wanted."""
    folders = {"original": plan.original.folder, "unlearned": unlearned}
    oracles = [job.folder for job in plan.oracles]
    return run_audit(plan.workspace, folders, oracles, device_of(plan.config), progress, samples=samples)


@ray_task
def _predict_task(plan: Plan, folder: Path, number: int) -> Part:
    return measure_part(plan.workspace, folder, device_of(plan.config), number, plan.config.audit.tasks)


@ray_task
def _measure_task(plan: Plan, folder: Path, board: Any, number: int, role: str, *parts: Part) -> Iterator[pa.Table]:
    """Measure a model; give the parts of its table of samples, if it has one. Ray starts this task when ``parts``, the
    predictions, are made."""
    board.update.remote("audit", number, 2 + len(plan.oracles), role)
    subject = measure_alone(plan.workspace, folder, device_of(plan.config), parts)
    if role in SAMPLED:
        yield from sample_parts(role, subject())


@ray_task
def _audit_task(plan: Plan, unlearned: Path, board: Any) -> AuditReport:
    roles: list[str] = []

    def progress(role: str) -> None:
        roles.append(role)
        board.update.remote("audit", len(roles), 2 + len(plan.oracles), role)

    return audit_here(plan, unlearned, progress)


def audit(plan: Plan, unlearned: Path, samples_file: Path, local: bool) -> AuditReport:
    """Audit all models of the plan; the per-sample table is written to ``samples_file`` of this machine, as its parts
    come."""
    with atomic_file(samples_file) as partial, contextlib.closing(_Samples(for_owner(partial))) as samples:
        report = (_audit_locally if local else _audit_by_tasks)(plan, unlearned, samples)
    for line in report.versions.get(ELSEWHERE, "").splitlines():  # a worker of Ray says nothing to the user
        say(line)
    return report


class _Samples:
    """A Parquet file that grows by parts of one schema."""

    def __init__(self, file: Path):
        self.file = file
        self.writer: pq.ParquetWriter | None = None

    def __call__(self, part: pa.Table) -> None:
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.file, part.schema)
        self.writer.write_table(part)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def _audit_locally(plan: Plan, unlearned: Path, samples: Samples) -> AuditReport:
    with bars() as drawn:
        roles: list[str] = []

        def progress(role: str) -> None:
            roles.append(role)
            drawn.update("audit", len(roles), 2 + len(plan.oracles), role)

        return audit_here(plan, unlearned, progress, samples)


def _audit_by_tasks(plan: Plan, unlearned: Path, samples: Samples) -> AuditReport:
    options = task_options(plan.config)
    models = {"original": plan.original.folder, "unlearned": unlearned}
    models |= {f"oracle_{number}": job.folder for number, job in enumerate(plan.oracles)}
    with ray_board() as board:
        measure = _measure_task.options(**options)
        tables = []
        for number, (role, folder) in enumerate(models.items()):
            parts = [] if role not in SAMPLED and is_measured(plan.workspace, folder) else _predict(plan, folder)
            tables.append(measure.remote(plan, folder, board, number, role, *parts))
        for table in tables:  # in the order of the models, one part at a time
            for part in table:
                samples(ray.get(part))
        report: AuditReport = ray.get(_audit_task.options(**options).remote(plan, unlearned, board))
        return report


def _predict(plan: Plan, folder: Path) -> list[Any]:
    """Start the tasks that predict the rows of a model; none if its one task may as well do it."""
    count = plan.config.audit.tasks
    predict = _predict_task.options(**task_options(plan.config))
    return [predict.remote(plan, folder, number) for number in range(count)] if count > 1 else []
