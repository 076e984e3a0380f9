"""``cu audit``: any saved model against the configuration's original and oracles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from cu_core.audit.report import AuditReport
from cu_core.config import RunConfig
from cu_core.config_io import ConfigError
from cu_core.files import atomic_folder
from cu_core.run import import_original
from pipelines import launch
from pipelines.html_report import write_report
from pipelines.plan import Plan, absolute, make_plan


def find_model(plan: Plan, model: str) -> Path:
    """A run's name or a model folder as it is; a weights file or MLflow URI is taken into the store first."""
    run = plan.config.store / "runs" / model / "unlearned"
    for folder in (run, Path(model)):
        if (folder / "meta.json").is_file():
            return folder.resolve()
    if not Path(model).exists() and ":/" not in model:
        raise ConfigError(
            f"--model {model}: no run of that name in {plan.config.store / 'runs'}, no folder and no file."
        )
    config = absolute(replace(plan.config, model=replace(plan.config.model, weights=model)))
    folder = config.store / "models" / config.original_key(plan.manifest.digest)
    if not (folder / "meta.json").is_file():
        import_original(config, folder)
    return folder


def audit_model(config: RunConfig, model: str, out: Path, local: bool) -> AuditReport:
    """Write the audit to ``out``, which appears when it is whole.

    Raises: ConfigError if ``out`` exists or the model is not found.
    """
    if out.exists():
        raise ConfigError(f"--out {out} already exists; name a new folder.")
    plan = make_plan(config)
    found = find_model(plan, model)
    with atomic_folder(out.resolve()) as partial:
        samples = partial / "samples.parquet"
        if local:
            launch.train_missing(plan.config, plan.missing, local)
            report = launch.audit(plan, found, samples, local)
        else:
            with launch.ray_session(plan.config):
                launch.train_missing(plan.config, plan.missing, local)
                report = launch.audit(plan, found, samples, local)
        (partial / "audit.json").write_bytes(TypeAdapter(AuditReport).dump_json(report, indent=1))
        write_report(partial / "report.html", report, samples, f"audit of {model}")
    return report
