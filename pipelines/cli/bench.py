"""``cu bench``: the cost of a step, the useful number of workers, and the start time of commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.arguments import Config, Overrides, TableOut, settings_of

app = typer.Typer(no_args_is_help=True)


@app.command()
def step(
    config: Config,
    overrides: Overrides = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            "--batch", help="Number of forget rows, and of retain rows, in a batch. May be given several times."
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Timed steps per batch size.")] = 3,
    out: TableOut = None,
) -> None:
    """Measure the time and memory of an unlearning step on new weights. No model is trained or saved."""
    settings = settings_of(config, overrides)
    from pipelines.bench.step import run_bench

    run_bench(settings, batch or [16, 64], steps, out)


@app.command()
def scaling(
    config: Config,
    overrides: Overrides = None,
    workers: Annotated[
        list[int] | None, typer.Option("--workers", help="Number of workers. May be given several times.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Timed steps per number of workers.")] = 20,
    out: TableOut = None,
) -> None:
    """Measure the same step on 1, 2, 4 and 8 Ray workers: rows per second, communication, useful number of workers."""
    settings = settings_of(config, overrides)
    from pipelines.bench.scaling import run_scaling

    run_scaling(settings, workers or [1, 2, 4, 8], steps, out)


@app.command()
def loader(
    config: Config,
    overrides: Overrides = None,
    threads: Annotated[
        list[int] | None, typer.Option("--threads", help="Number of threads. May be given several times.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", help="Rows that are read, drawn at random.")] = 4096,
    out: TableOut = None,
) -> None:
    """Measure how many rows a second are read and decoded, by number of threads, beside the bare decoder."""
    settings = settings_of(config, overrides)
    from pipelines.bench.loader import run_loader

    run_loader(settings, threads or [1, 2, 4], rows, out)


@app.command()
def start(
    tree: Annotated[
        list[Path] | None,
        typer.Option("--tree", help="Checkout to measure instead of this one. May be given several times."),
    ] = None,
    times: Annotated[int, typer.Option(min=1, help="Runs of each command. The smallest value counts.")] = 3,
    out: TableOut = None,
) -> None:
    """Measure the start of commands, compared with `import torch`: CPU seconds and memory of the process."""
    from pipelines.bench.start import run_starts

    run_starts(tree or [], times, out)
