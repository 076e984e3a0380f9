"""``cu quickstart``, ``cu unlearn``, ``cu train``, ``cu export``: train, unlearn and export models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cu_core.storage import shown
from pipelines.cli.arguments import Config, Local, Model, ModelConfig, Overrides, PrintConfig, out_option, settings_of
from pipelines.console import console

INCONCLUSIVE = (
    "inconclusive: the audits cannot tell. More oracles (audit.oracles), an original that knows its forget rows better "
    "(train.epochs), or more forget rows give them power; docs/concepts/verdict.md says more."
)


def quickstart(
    data: Annotated[str, typer.Option(help="`digits` (shipped with scikit-learn) or `fashion-mnist:DIR`.")] = "digits",
    storage: Annotated[str, typer.Option(help="Folder for models, runs and the MLflow file.")] = "outputs",
    clip: Annotated[
        bool, typer.Option("--clip", help="Unlearn a concept from a small CLIP model on captioned digits.")
    ] = False,
) -> None:
    """Pack images, train a model, unlearn class 5 on two Ray workers, and audit the result."""
    from pipelines.cli.quickstart import run_quickstart

    run_quickstart(data, storage, clip)


def unlearn(
    config: Config,
    overrides: Overrides = None,
    local: Local = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the rows, steps, memory, expected time and files of the run. Change nothing."
        ),
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option("--resume", metavar="RUN", help="Continue an interrupted run of this configuration."),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write a torch profiler trace of some steps into the run's folder.")
    ] = False,
    print_config: PrintConfig = False,
) -> None:
    """Unlearn the request of the configuration and audit the result. Missing models are trained first."""
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
    if finished.report.verdict.word == "inconclusive":
        console.print(INCONCLUSIVE, soft_wrap=True, highlight=False)
    console.print(f"model   {shown(finished.folder.unlearned)}", soft_wrap=True, highlight=False)
    console.print(f"report  {shown(finished.folder.path / 'report.html')}", soft_wrap=True, highlight=False)


def train(
    config: Config,
    overrides: Overrides = None,
    local: Local = False,
    oracles: Annotated[bool, typer.Option("--oracles", help="Also train the oracles of the request.")] = False,
    print_config: PrintConfig = False,
) -> None:
    """Train the original model (and its oracles). Models that exist already are not trained again."""
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
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Write the LoRA weights only, in the format of peft.")
    ] = False,
) -> None:
    """Write a model in the format of its own library: torchvision or timm state dict, open_clip, transformers."""
    from pipelines.run.export import export as write
    from pipelines.run.saved_models import config_of

    files = write(config_of(model, config, overrides or []), model, out, adapter)
    console.print(f"{out}: {', '.join(files)}", soft_wrap=True, highlight=False)
