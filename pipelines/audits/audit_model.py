"""``cu audit``: compare a saved model with the original and the oracles of a configuration."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from cu_core.audit.report import AuditReport
from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from cu_core.files import new_folder
from pipelines.cluster.session import ray_session
from pipelines.report.audit_page import write_report
from pipelines.run.auditing import audit
from pipelines.run.plan import make_plan
from pipelines.run.saved_models import find_model, recorded_of
from pipelines.run.training import train_missing


def audit_model(config: RunConfig, model: str, out: Path, local: bool) -> AuditReport:
    """Write the audit to the folder ``out``, which appears when it is complete.

    Raises: ConfigError if ``out`` exists or the model is not found.
    """
    if out.exists():
        raise ConfigError(f"--out {out} already exists; name a new folder.")
    plan = make_plan(config, recorded_of(config, model))
    found = find_model(plan, model)
    with new_folder(out.resolve()) as partial:
        samples = partial / "samples.parquet"
        if local:
            train_missing(plan.workspace, plan.missing, local)
            report = audit(plan, found, samples, local)
        else:
            with ray_session(plan.config):
                train_missing(plan.workspace, plan.missing, local)
                report = audit(plan, found, samples, local)
        (partial / "audit.json").write_bytes(TypeAdapter(AuditReport).dump_json(report, indent=1))
        write_report(partial / "report.html", report, samples, f"audit of {model}")
    return report
