"""A trial of a sweep, in a worker of Ray Tune."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import ray
from ray import tune
from ray.tune.integration.ray_train import TuneReportCallback

from cu_core.dist import use_cpus
from cu_core.errors import NonFiniteError
from cu_core.files import write_text
from cu_core.run import Hooks, run_unlearn
from cu_core.run_audit import run_proxy
from cu_core.storage import fetched
from cu_core.types import StepReport
from pipelines.grid.cells import REPORTS, Cell, Failure
from pipelines.run.auditing import audit_here
from pipelines.run.folder import RunFolder
from pipelines.run.plan import make_plan
from pipelines.run.ray_train import train_workers
from pipelines.run.task_options import device_of, ray_task, task_options
from pipelines.run.unlearning import WorkerJob
from pipelines.sweep.objective import ALL, judge, look
from pipelines.sweep.space import Sweep
from pipelines.tracking.step_log import StepLog, read_steps


def trial_cell(sweep: Sweep, drawn: Mapping[str, Any]) -> Cell:
    told = [f"{key.split('.')[-1]}={f'{v:.4g}' if isinstance(v, float) else v}" for key, v in drawn.items()]
    return Cell(" ".join(told), make_plan(sweep.trial_config(drawn)))


def run_trial(drawn: dict[str, Any], sweep: Sweep) -> None:
    """Run a trial: unlearn, audit, judge. Existing results are reused, and checks on the stop set are reported."""
    cell = trial_cell(sweep, drawn)
    config, unlearned, log = cell.plan.config, cell.folder / "unlearned", StepLog(cell.folder)
    seen = partial(look, kind=cell.plan.forget.kind)

    def on_step(step: StepReport) -> None:
        log(step)
        if found := seen(step):
            log.flush()  # the scheduler may end the trial in tune.report
            tune.report(found)

    if not fetched(unlearned / "meta.json"):
        if config.workers.count == 1:
            use_cpus(config.workers.cpus)
            hooks = Hooks(device=device_of(config), on_step=on_step)
            run_unlearn(cell.plan.workspace, cell.plan.original.folder, unlearned, hooks)
        else:
            cell.folder.mkdir(parents=True, exist_ok=True)
            job = WorkerJob(cell.plan, RunFolder(cell.folder), log, None, seen)
            train_workers(job, config, RunFolder(cell.folder), [TuneReportCallback()])
        log.flush()
    if config.workers.count == 1:
        found = audit_trial(cell, sweep.config.objective)
    else:  # the trial itself holds no CPU or GPU, so its audit is a task
        options = task_options(config) | {"scheduling_strategy": "DEFAULT"}
        found = ray.get(ray_task(audit_trial).options(**options).remote(cell, sweep.config.objective))
    looks = [seen(StepReport(step, config.stop.max_steps, values)) for step, values in read_steps(cell.folder)]
    last: dict[str, float] = next((one for one in reversed(looks) if one), {})
    tune.report({**last, "share": ALL, **found})


def audit_trial(cell: Cell, objective: str) -> dict[str, float]:
    """Return the figures of a trial whose model exists. The audit is written, or reused."""
    plan, unlearned = cell.plan, cell.folder / "unlearned"
    report = cell.outcome
    if isinstance(report, Failure):
        raise NonFiniteError(report.reason)
    if report is None:
        report = audit_here(plan, unlearned, lambda role: None)
        write_text(cell.report_file, REPORTS.dump_json(report, indent=1).decode())
    parts = run_proxy(plan.workspace, plan.original.folder, unlearned, device_of(plan.config))
    return judge(report, parts, objective)
