"""The audit of a run: in this process, or as a Ray task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from cu_core.audit.report import AuditReport
from cu_core.environment import say
from cu_core.evidence import measure_alone
from cu_core.files import atomic_file, for_owner
from cu_core.run_audit import ELSEWHERE, run_audit
from pipelines.cluster.board import ray_board
from pipelines.console import bars
from pipelines.run.plan import Plan
from pipelines.run.task_options import device_of, ray_task, task_options


def audit_here(
    plan: Plan, unlearned: Path, progress: Callable[[str], None], samples: bool = False
) -> tuple[AuditReport, pa.Table | None]:
    """The audit in this process, with the per-sample table if it is wanted."""
    folders = {"original": plan.original.folder, "unlearned": unlearned}
    oracles = [job.folder for job in plan.oracles]
    return run_audit(plan.workspace, folders, oracles, device_of(plan.config), progress, samples=samples)


@ray_task
def _measure_task(plan: Plan, folder: Path, board: Any, number: int, role: str) -> None:
    board.update.remote("audit", number, 2 + len(plan.oracles), role)
    measure_alone(plan.workspace, folder, device_of(plan.config))


@ray_task
def _audit_task(plan: Plan, unlearned: Path, board: Any) -> tuple[AuditReport, pa.Table | None]:
    roles: list[str] = []

    def progress(role: str) -> None:
        roles.append(role)
        board.update.remote("audit", len(roles), 2 + len(plan.oracles), role)

    return audit_here(plan, unlearned, progress, samples=True)


def audit(plan: Plan, unlearned: Path, samples_file: Path, local: bool) -> AuditReport:
    """Audit all models of the plan; the per-sample table is written to ``samples_file`` of this machine."""
    report, samples = _audit(plan, unlearned, local)
    for line in report.versions.get(ELSEWHERE, "").splitlines():  # a worker of Ray says nothing to the user
        say(line)
    with atomic_file(samples_file) as partial:
        pq.write_table(samples, for_owner(partial))
    return report


def _audit(plan: Plan, unlearned: Path, local: bool) -> tuple[AuditReport, pa.Table | None]:
    if local:
        with bars() as drawn:
            roles: list[str] = []

            def progress(role: str) -> None:
                roles.append(role)
                drawn.update("audit", len(roles), 2 + len(plan.oracles), role)

            return audit_here(plan, unlearned, progress, samples=True)
    with ray_board() as board:
        options = task_options(plan.config)
        models = [plan.original.folder, unlearned, *(job.folder for job in plan.oracles)]
        roles = ["original", "unlearned", *(f"oracle_{i}" for i in range(len(plan.oracles)))]
        measure = _measure_task.options(**options)
        ray.get([measure.remote(plan, m, board, n, r) for n, (m, r) in enumerate(zip(models, roles, strict=True))])
        task = _audit_task.options(**options)
        found: tuple[AuditReport, pa.Table | None] = ray.get(task.remote(plan, unlearned, board))
        return found
