"""``cu quickstart``, ``cu unlearn``, ``cu train``, ``cu export``: models are made and handed out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cu_core.storage import shown
from pipelines.cli.arguments import Config, Local, Model, ModelConfig, Overrides, PrintConfig, out_option, settings_of
from pipelines.console import console


def quickstart(
    data: Annotated[str, typer.Option(help="`digits` (shipped with scikit-learn) or `fashion-mnist:DIR`.")] = "digits",
    storage: Annotated[str, typer.Option(help="Folder for models, runs and the MLflow file.")] = "outputs",
    clip: Annotated[bool, typer.Option("--clip", help="A small CLIP on captioned digits forgets a concept.")] = False,
) -> None:
    """Pack images, train a model, forget class 5 on two Ray workers, audit it, and show the report."""
    from pipelines.cli.quickstart import run_quickstart

    run_quickstart(data, storage, clip)


def unlearn(
    config: Config,
    overrides: Overrides = None,
    local: Local = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show rows, steps, memory, expected time and what would be written; change nothing."
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
    settings = settings_of(config, [*(overrides or []), *(["workers.profile=true"] if profile else [])])
    if print_config:
        from cu_core.config_io import dump_config

        print(dump_config(settings))
        return
    if dry_run:
        from pipelines.run.dry_run import describe_run

        describe_run(settings)
        return
    from pipelines.report.terminal import end_table
    from pipelines.run.job import run_job

    finished = run_job(settings, local=local, resume=resume)
    console.print(end_table(finished.report))
    console.print(f"report  {shown(finished.folder.path / 'report.html')}", soft_wrap=True, highlight=False)


def train(
    config: Config,
    overrides: Overrides = None,
    local: Local = False,
    oracles: Annotated[bool, typer.Option("--oracles", help="Retrain the oracles of the request too.")] = False,
    print_config: PrintConfig = False,
) -> None:
    """Train the original model (and its oracles); one that is there already is found by digest, not trained again."""
    settings = settings_of(config, overrides)
    if print_config:
        from cu_core.config_io import dump_config

        print(dump_config(settings))
        return
    from pipelines.run.training import train_wanted

    for job in train_wanted(settings, oracles=oracles, local=local):
        console.print(f"{job.label}: {job.folder}")


def export(
    model: Model,
    overrides: Overrides = None,
    config: ModelConfig = None,
    out: Annotated[Path, out_option("New folder.")] = Path("export"),
    adapter: Annotated[bool, typer.Option("--adapter", help="Only what LoRA changed, as peft reads it.")] = False,
) -> None:
    """Write a model as its own library loads it: torchvision and timm state dicts, open_clip, transformers."""
    from pipelines.run.export import export as write
    from pipelines.run.saved_models import config_of

    files = write(config_of(model, config, overrides or []), model, out, adapter)
    console.print(f"{out}: {', '.join(files)}", soft_wrap=True, highlight=False)
