"""``cu bench``: what a step costs, and how many workers pay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cu_core.config_io import config_file, load_config
from cu_core.places import place

app = typer.Typer(no_args_is_help=True)
Config = Annotated[
    Path,
    typer.Argument(
        parser=config_file,
        help="Configuration file or its address, e.g. tune_configs/base/digits_class.yaml.",
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Settings that replace the file's.")
]
Out = Annotated[Path | None, typer.Option("--out", parser=place, metavar="PATH", help="Markdown file for the table.")]


@app.command()
def step(
    config: Config,
    overrides: Overrides = None,
    batch: Annotated[
        list[int] | None,
        typer.Option("--batch", help="Forget rows, and as many retain rows; may be given several times."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Timed steps of each batch size.")] = 3,
    out: Out = None,
) -> None:
    """Measure time and memory of an unlearning step, from fresh weights; nothing is trained or kept."""
    from pipelines.bench.step import run_bench

    run_bench(load_config(config, overrides or []), batch or [16, 64], steps, out)


@app.command()
def scaling(
    config: Config,
    overrides: Overrides = None,
    workers: Annotated[
        list[int] | None, typer.Option("--workers", help="How many workers; may be given several times.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Timed steps of each.")] = 20,
    out: Out = None,
) -> None:
    """Measure the same step on 1, 2, 4, 8 Ray workers: rows a second, communication, and how many of them pay."""
    from pipelines.bench.scaling import run_scaling

    run_scaling(load_config(config, overrides or []), workers or [1, 2, 4, 8], steps, out)
