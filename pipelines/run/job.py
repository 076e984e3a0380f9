"""One unlearning job from configuration to report: train what is missing, unlearn, audit, record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from cu_core.audit.report import AuditReport
from cu_core.config import RunConfig
from cu_core.config_io import as_plain
from cu_core.errors import ConfigError
from cu_core.leftovers import DEPTH, sweep
from cu_core.storage import fetched, shown
from pipelines.cluster.session import ray_session
from pipelines.console import console
from pipelines.run.auditing import audit
from pipelines.run.folder import RunFolder, begin_run, find_run
from pipelines.run.lock import run_lock
from pipelines.run.plan import Plan, about_request, make_plan
from pipelines.run.record import record
from pipelines.run.training import train_missing
from pipelines.run.unlearning import unlearn
from pipelines.tracking import mlflow_runs as tracking
from pipelines.tracking.step_log import CurveWriter, StepLog


@dataclass(frozen=True)
class JobResult:
    """A whole run."""

    report: AuditReport
    folder: RunFolder
    config: RunConfig


@contextlib.contextmanager
def mlflow_run(plan: Plan, folder: RunFolder, settings: dict[str, Any]) -> Iterator[str]:
    """The job's MLflow run, ended as FINISHED, FAILED or KILLED; a resumed job continues its own."""
    config = plan.config
    tags = {
        "data_digest": plan.manifest.digest,
        "request_digest": plan.forget.digest,
        "config_digest": plan.digest,
        "run_folder": shown(folder.path),
    }
    run_id = tracking.start_run(config, settings, tags, folder.record().get("mlflow_run_id"))
    status = "FAILED"
    try:
        folder.write_record(mlflow_run_id=run_id)
        yield run_id
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracking.end_run(config, run_id, status)


def run_job(config: RunConfig, *, local: bool = False, resume: str | None = None) -> JobResult:
    """`cu unlearn`: every part, resumable; what is finished is found by digest and not made again."""
    plan = make_plan(config)
    config, folder = find_run(plan.config, plan.digest, resume)
    plan = replace(plan, workspace=plan.workspace.with_config(config))
    sets = {name: asdict(one) for name, one in plan.hashes.items()}
    settings = {**as_plain(config), "sets": sets}
    sweep(config.store, DEPTH)
    console.print(f"run {folder.name}: {about_request(plan)}", highlight=False, markup=False, soft_wrap=True)
    with contextlib.ExitStack() as stack:
        tracking.check_tracking(config)
        if not local:
            stack.enter_context(ray_session(config))
        if resume is None:  # from here on there is something to resume
            begin_run(config, folder, plan.digest)
        stack.enter_context(run_lock(folder.path))
        if folder.finished:  # by another driver, while this one looked whether it lives
            raise ConfigError(f"--resume {folder.name}: that run is finished by now.")
        folder.write_record(sets=sets, notes_on_request=list(plan.forget.notes))
        run_id = stack.enter_context(mlflow_run(plan, folder, settings))
        tracking.log_data(config, run_id, plan.manifest)
        train_missing(plan.workspace, plan.missing, local)
        if not fetched(folder.unlearned / "meta.json"):
            curves = CurveWriter(StepLog(folder.path), tracking.tracking_uri(config), run_id)
            unlearn(plan, folder, curves, local)
        report = audit(plan, folder.unlearned, folder.path / "samples.parquet", local)
        record(plan, folder, run_id, report)
    return JobResult(report, folder, config)
