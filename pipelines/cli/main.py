"""The ``cu`` command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import TypeAdapter

from cu_core.audit.explain import explain as explain_metric
from cu_core.audit.report import AuditReport
from cu_core.config_io import ConfigError, dump_config, load_config
from cu_core.places import place, shown
from pipelines.cli.bench import Config
from pipelines.cli.bench import app as bench_app
from pipelines.cli.data import app as data_app
from pipelines.cli.jobs import INTERRUPTED, jobs, stop, submit
from pipelines.cli.sweep import sweep
from pipelines.console import console
from pipelines.report.terminal import end_table

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Make a trained model forget part of its training data, and prove it against a retrained oracle. "
    "Start with `cu quickstart`; then `cu unlearn tune_configs/base/digits_class.yaml`.",
)
app.add_typer(data_app, name="data", help="Pack, look at and verify data sets in Arrow shards.")
app.add_typer(bench_app, name="bench", help="Measure a step, and how many workers pay.")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY.PATH=VALUE]...", help="Settings that replace the file's, e.g. method.temperature=0.3."
    ),
]
Local = Annotated[bool, typer.Option("--local", help="Run in this process, without Ray.")]


def out_option(about: str) -> Any:
    return typer.Option("--out", parser=place, metavar="PATH", help=about)


TableOut = Annotated[Path | None, out_option("Markdown file for the table.")]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Show the resolved configuration and stop.")]


@app.command()
def quickstart(
    data: Annotated[str, typer.Option(help="`digits` (shipped with scikit-learn) or `fashion-mnist:DIR`.")] = "digits",
    storage: Annotated[str, typer.Option(help="Folder for models, runs and the MLflow file.")] = "outputs",
    clip: Annotated[bool, typer.Option("--clip", help="A small CLIP on captioned digits forgets a concept.")] = False,
) -> None:
    """Pack images, train a model, forget class 5 on two Ray workers, audit it, and show the report."""
    from pipelines.cli.quickstart import run_quickstart

    run_quickstart(data, storage, clip)


@app.command()
def unlearn(
    config: Config,
    overrides: Overrides = None,
    local: Local = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show rows, steps, memory, expected time and what would be written; change nothing.",
        ),
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option("--resume", metavar="RUN", help="Go on with an interrupted run of this configuration."),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write a torch profiler trace of some steps into the run's folder.")
    ] = False,
    print_config: PrintConfig = False,
) -> None:
    """Forget what the configuration requests; original and oracles are trained first where they are not there."""
    from pipelines.run.job import run_job

    settings = load_config(config, [*(overrides or []), *(["workers.profile=true"] if profile else [])])
    if print_config:
        print(dump_config(settings))
        return
    if dry_run:
        from pipelines.run.dry_run import describe_run

        describe_run(settings)
        return
    finished = run_job(settings, local=local, resume=resume)
    console.print(end_table(finished.report))
    console.print(f"report  {shown(finished.folder.path / 'report.html')}", soft_wrap=True, highlight=False)


@app.command()
def train(
    config: Config,
    overrides: Overrides = None,
    local: Local = False,
    oracles: Annotated[bool, typer.Option("--oracles", help="Retrain the oracles of the request too.")] = False,
    print_config: PrintConfig = False,
) -> None:
    """Train the original model (and its oracles); one that is there already is found by digest, not trained again."""
    from pipelines.cluster.session import ray_session
    from pipelines.run.plan import make_plan
    from pipelines.run.training import train_missing

    settings = load_config(config, overrides or [])
    if print_config:
        print(dump_config(settings))
        return
    plan = make_plan(settings)
    wanted = [plan.original, *(plan.oracles if oracles else ())]
    missing = [job for job in wanted if not job.done]
    if local:
        train_missing(plan.config, missing, local)
    elif missing:
        with ray_session(plan.config):
            train_missing(plan.config, missing, local)
    for job in wanted:
        console.print(f"{job.label}: {job.folder}")


@app.command()
def audit(
    model: Annotated[
        str | None,
        typer.Argument(help="Model to audit: a run's name, a model folder, a weights file, or an MLflow URI."),
    ] = None,
    overrides: Overrides = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Data, request and original to audit against; absent: those with which the model was made.",
        ),
    ] = None,
    local: Local = False,
    out: Annotated[
        Path,
        out_option("New folder for audit.json, samples.parquet and report.html."),
    ] = Path("audit"),
    metric: Annotated[
        str | None, typer.Option("--explain", metavar="METRIC", help="Say what a metric is and how it misleads; stop.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of audit.json; stop.")] = False,
    tier: Annotated[
        Literal["cheap", "strong"],
        typer.Option("--tier", help="`strong`: the method and request, by pools of many models (needs --models)."),
    ] = "cheap",
    models: Annotated[
        int | None, typer.Option("--models", help="Models a pool of the strong tier: 8 to try, 64 and more to publish.")
    ] = None,
) -> None:
    """Audit any saved model against the original and oracles (trained where they are not there)."""
    from pipelines.audits.audit_model import audit_model
    from pipelines.audits.strong_audit import strong_audit, table
    from pipelines.run.saved_models import config_of

    if metric is not None:
        print(explain_metric(metric))
        return
    if schema:
        print(json.dumps(TypeAdapter(AuditReport).json_schema(), indent=1))
        return
    if (tier == "strong") != (models is not None):
        raise ConfigError("--tier strong and --models N go together.")
    if model is not None and "=" in model and not Path(model).exists():
        model, overrides = None, [model, *(overrides or [])]
    if models is not None and (local or (model is None) == (config is None)):
        raise ConfigError("--tier strong takes a run (its configuration) or --config, not both, and no --local.")
    if models is not None:
        settings = config_of(model, config, overrides or []) if model else load_config(config, overrides or [])
        if model:
            console.print(f"of {model} only the configuration is used: the strong tier makes models of its own")
        console.print(table(strong_audit(settings, models, out)))
        console.print(f"written to {shown(out)}", soft_wrap=True, highlight=False)
        return
    if model is None:
        raise ConfigError("name the model to audit: a run's name, a model folder, a weights file, or an MLflow URI.")
    report = audit_model(config_of(model, config, overrides or []), model, out, local)
    console.print(end_table(report))
    console.print(f"report  {shown(out / 'report.html')}", soft_wrap=True, highlight=False)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A run's name, a model folder, a weights file, or an MLflow URI.")],
    overrides: Overrides = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Absent: the configuration with which the model was made.")
    ] = None,
    out: Annotated[Path, out_option("New folder.")] = Path("export"),
    adapter: Annotated[bool, typer.Option("--adapter", help="Only what LoRA changed, as peft reads it.")] = False,
) -> None:
    """Write a model as its own library loads it: torchvision and timm state dicts, open_clip, transformers."""
    from pipelines.run.export import export
    from pipelines.run.saved_models import config_of

    files = export(config_of(model, config, overrides or []), model, out, adapter)
    console.print(f"{out}: {', '.join(files)}", soft_wrap=True, highlight=False)


@app.command()
def calibrate(
    config: Config,
    overrides: Overrides = None,
    against: Annotated[
        list[int] | None, typer.Option("--against", help="Oracles a verdict, 5 if absent; may be given several times.")
    ] = None,
    left: Annotated[
        list[float] | None,
        typer.Option("--left", help="Percent of the forget rows left in training; may be given several times."),
    ] = None,
    lost: Annotated[
        list[float] | None,
        typer.Option("--lost", help="Percent of the retain rows left out; may be given several times."),
    ] = None,
    noise: Annotated[
        list[float] | None,
        typer.Option("--noise", help="Noise on weights, percent of their spread; may be given several times."),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Models for each percentage.")] = 3,
    out: TableOut = None,
) -> None:
    """Measure how often the verdict tells held-out oracles apart, and how much left in training or damaged it finds."""
    from pipelines.audits.calibrate import calibrate, table
    from pipelines.audits.calibrate_models import Amounts

    asked, settings = Amounts(left or (), lost or (), noise or (), replicates), load_config(config, overrides or [])
    console.print(table(calibrate(settings, against or [5], asked, out)))


@app.command()
def repeat(
    config: Config,
    overrides: Overrides = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            help="KEY=V1|V2|...: every combination is run, e.g. --vary 'seed=0|1|2' --vary 'request.classes=[5]|[0]'.",
        ),
    ] = None,
    out: TableOut = None,
) -> None:
    """Run one configuration over seeds, classes or any settings, as Ray tasks, and table mean and spread."""
    from pipelines.grid.repeat import run_repeat

    run_repeat(config, overrides or [], vary or [], out)


app.command()(sweep)
for command in (submit, jobs, stop):
    app.command()(command)


@app.command()
def compare(
    config: Annotated[
        str | None, typer.Argument(metavar="[CONFIG]", help="Comparison, e.g. tune_configs/compare/digits.yaml.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY.PATH=VALUE]...", help="Settings over the file's, e.g. seeds=[0]; mappings are merged."
        ),
    ] = None,
    out: TableOut = None,
    only: Annotated[
        str | None, typer.Option("--methods", help="Only these methods of the file, separated by commas.")
    ] = None,
    reproduce: Annotated[
        Literal["paper"] | None,
        typer.Option(
            "--reproduce", help="Without CONFIG: the paper's results, published and ours, on the data there is."
        ),
    ] = None,
) -> None:
    """Run every method of the file on every request and seed within one budget, and table them beside the oracle.

    Tables and an HTML report go to STORAGE/compare (outputs/compare). Started again, finished cells are found.
    """
    words = [*([config] if config else []), *(overrides or [])]
    if reproduce:
        from pipelines.compare.paper import reproduce as reproduce_paper

        wrong = [w for w in words if "=" not in w]
        if wrong:
            raise ConfigError(f"--reproduce takes settings alone (KEY.PATH=VALUE), not {wrong[0]!r}.")
        reproduce_paper(words, out)
        return
    if config is None:
        raise ConfigError("name a comparison, e.g. tune_configs/compare/digits.yaml, or give --reproduce paper.")
    from pipelines.compare.command import compare as run_compare

    run_compare(Path(config), overrides or [], out, only.split(",") if only is not None else None)


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="One method, with every setting explained; absent: all.")] = None,
) -> None:
    """List the unlearning methods: what they need, their settings and their sources."""
    from pipelines.cli.methods import show_methods

    show_methods(name)


@app.command()
def score(
    config: Config,
    overrides: Overrides = None,
    out: Annotated[Path, out_option("New Parquet file: sample_id, memorisation.")] = Path("scores.parquet"),
) -> None:
    """Score how much the original memorised each training row, for requests of kind by_score."""
    from pipelines.audits.memorisation import score_rows

    score_rows(load_config(config, overrides or []), out)
    console.print(f"written to {shown(out)}")


def main() -> None:
    """Entry point: a user's mistake is one line and exit status 2; an interrupt is 130; a bug keeps its traceback."""
    try:
        app()
    except SystemExit as stop:
        if stop.code == INTERRUPTED and sys.argv[1:2] not in (["submit"], ["jobs"]):  # whose job goes on
            console.print(
                "interrupted; what is finished is kept. cu unlearn and cu sweep go on with --resume and the name they "
                "printed, other commands when they are started again."
            )
        raise
    except Exception as error:
        from pipelines.errors import explain  # imports MLflow: seconds that no other start need pay

        line = explain(error)
        if line is None:
            raise
        print(f"cu: {line}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
