"""What a finished run leaves: audit, report and models, in its folder and in MLflow."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from cu_core.audit.report import AuditReport
from cu_core.files import write_text
from cu_core.models.classifier import Classifier
from cu_core.run import load_model
from pipelines.report.audit_page import write_report
from pipelines.run.folder import RunFolder
from pipelines.run.plan import Plan
from pipelines.tracking import mlflow_runs as tracking
from pipelines.tracking.server import open_client, tracking_uri
from pipelines.tracking.step_log import deliver, loss_curves, read_steps


def record(plan: Plan, folder: RunFolder, run_id: str, report: AuditReport) -> None:
    """Audit, report and models to disk and to MLflow; ``result.json`` last, it marks the run as finished."""
    config = plan.config
    write_text(folder.path / "audit.json", TypeAdapter(AuditReport).dump_json(report, indent=1).decode())
    curves = loss_curves(folder.path)
    write_report(folder.path / "report.html", report, folder.path / "samples.parquet", folder.name, curves)
    open_client(config)  # a server that stopped on the way is named within seconds
    deliver(read_steps(folder.path), tracking_uri(config), run_id)  # what MLflow missed on the way
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
    config, reader = plan.config, plan.reader

    def load(path: Path) -> Classifier:
        return load_model(config, reader, path)

    return tracking.register(config, run_id, role, folder, load, reader.image_shape, tags)


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
