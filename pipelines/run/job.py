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
from pipelines.tracking.server import tracking_uri
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
    try:
        folder.write_record(mlflow_run_id=run_id)
        yield run_id
    except BaseException as stopped:
        try:
            tracking.end_run(config, run_id, "KILLED" if isinstance(stopped, KeyboardInterrupt) else "FAILED")
        except ConfigError as error:
            if str(error) != str(stopped):  # what stopped the run comes first
                console.print(str(error), highlight=False, markup=False, soft_wrap=True)
        console.print(
            f"run {folder.name} is not finished; what is done is kept, and --resume {folder.name} goes on",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
        raise
    tracking.end_run(config, run_id, "FINISHED")


def copies_recorded(plan: Plan) -> dict[str, Any]:
    """What a request that asks for copies of its rows records of them."""
    found = plan.forget.copies
    if found is None:
        return {}
    kinds = {"exact": found.exact, "near": found.near, "mirrored": found.mirrored}
    return {"copies_of_forget_rows": {"rows": len(found.rows), **kinds}}


def run_job(config: RunConfig, *, local: bool = False, resume: str | None = None) -> JobResult:
    """`cu unlearn`: every part, resumable; what is finished is found by digest and not made again."""
    plan = make_plan(config)
    return run_plans(plan, plan, local=local, resume=resume)


def run_plans(plan: Plan, judged: Plan, *, local: bool = False, resume: str | None = None) -> JobResult:
    """Unlearn by ``plan``, and audit the result by ``judged``, the same one except in a chain of requests: there the
    audit is about all that was forgotten. The run's configuration is that of ``judged``."""
    config, folder = find_run(judged.config, plan.digest, resume)
    named = replace(plan.config, name=config.name)
    plan, judged = (
        replace(one, workspace=one.workspace.with_config(own)) for one, own in ((plan, named), (judged, config))
    )
    sets = {name: asdict(one) for name, one in plan.hashes.items()}
    settings = {**as_plain(config), "sets": sets, **copies_recorded(plan)}
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
        began = {"data_digest": judged.manifest.digest, "request_digest": judged.forget.digest}
        began["original"] = judged.original.folder.name
        folder.write_record(**began, sets=sets, notes_on_request=list(plan.forget.notes), **copies_recorded(plan))
        run_id = stack.enter_context(mlflow_run(plan, folder, settings))
        tracking.log_data(config, run_id, plan.manifest)
        train_missing(judged.workspace, judged.missing, local)
        if not fetched(folder.unlearned / "meta.json"):
            curves = CurveWriter(StepLog(folder.path), tracking_uri(config), run_id)
            unlearn(plan, folder, curves, local)
        report = audit(judged, folder.unlearned, folder.path / "samples.parquet", local)
        record(judged, folder, run_id, report)
    return JobResult(report, folder, config)
