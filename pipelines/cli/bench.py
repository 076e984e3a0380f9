"""``cu bench``: what a step costs, and how many workers pay."""

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
        typer.Option("--batch", help="Forget rows, and as many retain rows; may be given several times."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Timed steps of each batch size.")] = 3,
    out: TableOut = None,
) -> None:
    """Measure time and memory of an unlearning step, from fresh weights; nothing is trained or kept."""
    settings = settings_of(config, overrides)
    from pipelines.bench.step import run_bench

    run_bench(settings, batch or [16, 64], steps, out)


@app.command()
def scaling(
    config: Config,
    overrides: Overrides = None,
    workers: Annotated[
        list[int] | None, typer.Option("--workers", help="How many workers; may be given several times.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Timed steps of each.")] = 20,
    out: TableOut = None,
) -> None:
    """Measure the same step on 1, 2, 4, 8 Ray workers: rows a second, communication, and how many of them pay."""
    settings = settings_of(config, overrides)
    from pipelines.bench.scaling import run_scaling

    run_scaling(settings, workers or [1, 2, 4, 8], steps, out)


@app.command()
def start(
    tree: Annotated[
        list[Path] | None, typer.Option("--tree", help="A checkout to measure in place of this one; may be repeated.")
    ] = None,
    times: Annotated[int, typer.Option(min=1, help="Runs of each command; the least counts.")] = 3,
    out: TableOut = None,
) -> None:
    """Measure how soon commands answer, beside `import torch`: CPU seconds and memory of whole processes."""
    from pipelines.bench.start import run_starts

    run_starts(tree or [], times, out)
