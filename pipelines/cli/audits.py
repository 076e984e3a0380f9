"""``cu audit``, ``cu audit-strong``, ``cu explain``, ``cu schema``, ``cu calibrate``, ``cu score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cu_core.errors import ConfigError
from cu_core.storage import shown
from pipelines.cli.arguments import Config, Local, Model, ModelConfig, Overrides, TableOut, out_option, settings_of
from pipelines.console import console


def _moved(new: str) -> object:
    """Define a former option of ``cu audit``; its error message names the command that replaced it."""

    def tell(value: str | bool | None) -> None:
        if value is not None:
            raise ConfigError(f"cu audit has no such option any more: {new.format(value=value)}.")

    return typer.Option(hidden=True, callback=tell)


def audit(
    model: Model,
    overrides: Overrides = None,
    config: ModelConfig = None,
    local: Local = False,
    out: Annotated[Path, out_option("New folder for audit.json, samples.parquet and report.html.")] = Path("audit"),
    explain: Annotated[str | None, _moved("cu explain {value}")] = None,
    tier: Annotated[str | None, _moved("cu audit-strong CONFIG --models N")] = None,
    models: Annotated[str | None, _moved("cu audit-strong CONFIG --models {value}")] = None,
    schema: Annotated[bool | None, _moved("cu schema")] = None,
) -> None:
    """Compare a saved model with the original and the oracles, which are trained if they do not exist."""
    from pipelines.audits.audit_model import audit_model
    from pipelines.report.terminal import end_table
    from pipelines.run.saved_models import config_of

    report = audit_model(config_of(model, config, overrides or []), model, out, local)
    console.print(end_table(report))
    console.print(f"report  {shown(out / 'report.html')}", soft_wrap=True, highlight=False)


def audit_strong(
    config: Config,
    overrides: Overrides = None,
    models: Annotated[
        int, typer.Option("--models", help="Models per pool, an even number: 8 for a first try, 64 or more to publish.")
    ] = 16,
    out: Annotated[Path, out_option("New folder for strong.md and strong.json.")] = Path("audit"),
) -> None:
    """Audit a method on a request: train pools of models and compare them (KLoM, U-LiRA, U-RMIA)."""
    settings = settings_of(config, overrides)
    from pipelines.audits.strong_audit import strong_audit, table

    console.print(table(strong_audit(settings, models, out)))
    console.print(f"written to {shown(out)}", soft_wrap=True, highlight=False)


def explain(metric: Annotated[str, typer.Argument(help="Name of the metric, as in tables and in audit.json.")]) -> None:
    """Explain a metric: definition, formula, source and pitfalls."""
    from cu_core.audit.explain import explain as in_words

    print(in_words(metric))


def schema() -> None:
    """Print the JSON schema of audit.json."""
    import json

    from pydantic import TypeAdapter

    from cu_core.audit.report import AuditReport

    print(json.dumps(TypeAdapter(AuditReport).json_schema(), indent=1))


def calibrate(
    config: Config,
    overrides: Overrides = None,
    against: Annotated[
        list[int] | None, typer.Option("--against", help="Oracles per verdict. Default: 5. May be given several times.")
    ] = None,
    left: Annotated[
        list[float] | None,
        typer.Option("--left", help="Percent of the forget rows that stay in training. May be given several times."),
    ] = None,
    lost: Annotated[
        list[float] | None,
        typer.Option("--lost", help="Percent of the retain rows that are left out. May be given several times."),
    ] = None,
    noise: Annotated[
        list[float] | None,
        typer.Option("--noise", help="Noise on the weights, in percent of their spread. May be given several times."),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Models per percentage.")] = 3,
    out: TableOut = None,
) -> None:
    """Measure the false alarms of the verdict, and how much data left in training, or damage, it detects."""
    settings = settings_of(config, overrides)
    from pipelines.audits.calibrate import calibrate as measure
    from pipelines.audits.calibrate import table
    from pipelines.audits.calibrate_models import Amounts

    asked = Amounts(left or (), lost or (), noise or (), replicates)
    console.print(table(measure(settings, against or [5], asked, out)))


def score(
    config: Config,
    overrides: Overrides = None,
    out: Annotated[Path, out_option("New Parquet file with the columns sample_id and memorisation.")] = Path(
        "scores.parquet"
    ),
) -> None:
    """Measure how much the original memorised each training row, for requests of kind by_score."""
    settings = settings_of(config, overrides)
    from pipelines.audits.memorisation import score_rows

    score_rows(settings, out)
    console.print(f"written to {shown(out)}")
