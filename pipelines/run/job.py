"""One unlearning job from configuration to report: train what is missing, unlearn, audit, record."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from cu_core.audit.report import AuditReport
from cu_core.config import RunConfig
from cu_core.config_io import ConfigError, as_plain
from cu_core.files import write_text
from cu_core.places import remove, shown, there
from cu_core.run import load_model, open_reader
from pipelines.cluster.session import ray_session
from pipelines.console import console
from pipelines.report.audit_page import write_report
from pipelines.run import launch
from pipelines.run.folder import RunFolder, open_run
from pipelines.run.lock import claim
from pipelines.run.plan import Plan, about_request, make_plan
from pipelines.tracking.mlflow_runs import mlflow_runs as tracking
from pipelines.tracking.step_log import CurveWriter, StepLog, deliver, loss_curves, read_steps


@dataclass(frozen=True)
class Finished:
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


def run_job(config: RunConfig, *, local: bool = False, resume: str | None = None) -> Finished:
    """`cu unlearn`: every part, resumable; what is finished is found by digest and not made again."""
    plan = make_plan(config)
    config, folder = open_run(plan.config, plan.digest, resume)
    plan = replace(plan, config=config)
    settings = as_plain(config)
    console.print(f"run {folder.name}: {about_request(plan)}", highlight=False)
    with contextlib.ExitStack() as stack:
        if not local:
            try:
                stack.enter_context(ray_session(config))
            except ConfigError:
                if resume is None:  # nothing was begun
                    remove(folder.path)
                raise
        stack.enter_context(claim(folder.path))
        if folder.finished:  # by another driver, while this one looked whether it lives
            raise ConfigError(f"--resume {folder.name}: that run is finished by now.")
        run_id = stack.enter_context(mlflow_run(plan, folder, settings))
        tracking.log_data(config, run_id, plan.manifest)
        launch.train_missing(config, plan.missing, local)
        if not there(folder.unlearned / "meta.json"):
            curves = CurveWriter(StepLog(folder.path), tracking.tracking_uri(config), run_id)
            launch.unlearn(plan, folder, curves, local)
        report = launch.audit(plan, folder.unlearned, folder.path / "samples.parquet", local)
        record(plan, folder, run_id, report)
    return Finished(report, folder, config)


def record(plan: Plan, folder: RunFolder, run_id: str, report: AuditReport) -> None:
    """Audit, report and models to disk and to MLflow; ``result.json`` last, it marks the run as finished."""
    config = plan.config
    write_text(folder.path / "audit.json", TypeAdapter(AuditReport).dump_json(report, indent=1).decode())
    curves = loss_curves(folder.path)
    write_report(folder.path / "report.html", report, folder.path / "samples.parquet", folder.name, curves)
    deliver(read_steps(folder.path), tracking.tracking_uri(config), run_id)  # what MLflow missed on the way
    tags = {"verdict": report.verdict.word, "verdict_reason": report.verdict.reason}
    tracking.log_files(config, run_id, folder.path, ["config.yaml", "audit.json", "samples.parquet", "report.html"])
    tracking.log_files(config, run_id, plan.forget_file.parent, [plan.forget_file.name])
    models = {"original": plan.original.folder, "unlearned": folder.unlearned}
    if plan.oracles:
        models["oracle"] = plan.oracles[0].folder
    uris = {r: register(plan, run_id, r, path, tags if r == "unlearned" else {}) for r, path in models.items()}
    tracking.log_figures(config, run_id, figures(report), tags)  # again by a run that is resumed: as late as can be
    write_text(folder.path / "result.json", json.dumps({"models": uris, "verdict": asdict(report.verdict)}, indent=1))


def register(plan: Plan, run_id: str, role: str, folder: Path, tags: dict[str, str]) -> str:
    """Put a model of the plan into the registry; returns its version."""
    config = plan.config
    reader = open_reader(config)
    size = (config.model.image_size,) * 2 if plan.manifest.image_shape is None else plan.manifest.image_shape[1:]
    shape = (reader.image_channels, *size)
    return tracking.register(config, run_id, role, folder, lambda p: load_model(config, reader, p), shape, tags)


def figures(report: AuditReport) -> dict[str, float]:
    """Scalars for MLflow: every metric of every model, gaps and cost."""
    values: dict[str, float] = {f"cost/{k}": float(v) for k, v in report.cost.items()}
    for row in report.rows:
        values |= {f"audit/{row.name}": row.unlearned, f"audit/original/{row.name}": row.original}
        if row.oracles:
            values[f"audit/oracle/{row.name}"] = sum(row.oracles) / len(row.oracles)
    if report.gap is not None:
        values |= {"oracle_gap": report.gap.mean} | {f"gap/{k}": v for k, v in report.gap.per_metric.items()}
    return values | {"leaks": float(report.leaks)}
