"""``cu bench``: measurements of steps, workers, loading, the start of commands, copies, and chains of requests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cu_core.errors import ConfigError
from cu_core.storage import place
from pipelines.cli.arguments import Config, Local, Overrides, Packed, TableOut, out_option, settings_of

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
def growth(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="For the tables, the plot and each measurement.")],
    retain: Annotated[
        list[int] | None,
        typer.Option("--retain", help="Retain rows. May be given several times; the first is the base."),
    ] = None,
    classes: Annotated[
        list[int] | None, typer.Option("--classes", help="Classes. May be given several times; the first is the base.")
    ] = None,
    forget: Annotated[
        list[int] | None,
        typer.Option("--forget", help="Forget rows. May be given several times; the first is the base."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Steps of each unlearning.")] = 100,
) -> None:
    """Measure time to first step, time of the unlearning and memory by retain rows, classes and forget rows.

    Each measurement is a process of its own and is kept in FOLDER: a call that was ended goes on where it was."""
    from pipelines.bench.growth import run_growth

    sizes = (
        retain or [10**n for n in (4, 5, 6, 7)],
        classes or [10, 100, 1000],
        forget or [10**n for n in (2, 3, 4, 5)],
    )
    run_growth(folder, *sizes, steps)


@app.command()
def gpu(
    out: Annotated[Path, out_option("Markdown file for the page.")],
    device: Annotated[str, typer.Option(help="cuda, or cpu to try the command on a small model.")] = "cuda",
    minutes: Annotated[float, typer.Option(min=0.0, help="No measurement begins after this time.")] = 8.0,
) -> None:
    """Measure training and unlearning steps on one GPU: speed, memory, precision, two processes. Random images."""
    import torch

    from pipelines.bench.gpu import run_gpu

    if device not in ("cuda", "cpu"):
        raise ConfigError(f"--device must be cuda or cpu, got {device!r}.")
    run_gpu(out, torch.device(device), minutes)


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


@app.command()
def duplicates(
    data: Packed,
    planted: Annotated[
        Path, typer.Argument(parser=place, metavar="PLANTED", help="Folder for the data with copies; made if absent.")
    ],
    count: Annotated[int, typer.Option("--count", min=1, help="Training rows that get copies.")] = 200,
    model: Annotated[
        Path | None, typer.Option("--model", parser=place, metavar="FOLDER", help="Saved model; finds equal content.")
    ] = None,
    rate: Annotated[
        list[float] | None,
        typer.Option("--rate", help="Share of pairs of different rows that may pass. May be given several times."),
    ] = None,
    out: TableOut = None,
) -> None:
    """Measure which changed copies of rows `cu data duplicates` finds: resized, cropped, JPEG, mirrored, brightened."""
    from pipelines.bench.planted_copies import run_planted

    run_planted(data, planted, count, model, rate or [1e-6], out)


@app.command()
def chain(
    config: Config,
    overrides: Overrides = None,
    requests: Annotated[int, typer.Option("--requests", min=2, help="Number of requests of random rows.")] = 10,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Random rows of a request.")] = 50,
    classes: Annotated[
        list[int] | None, typer.Option("--class", help="A request for this class instead. Give it several times.")
    ] = None,
    local: Local = False,
    out: TableOut = None,
) -> None:
    """Answer requests one after another, and as one batch, and compare both with retrained models after each.

    The models are trained. A command that was interrupted goes on when it is given again.
    """
    settings_of(config, overrides)
    from pipelines.requests.drift import run_chain

    run_chain(config, overrides or [], requests, rows, classes or [], local, out)
