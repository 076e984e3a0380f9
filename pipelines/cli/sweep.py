"""``cu sweep``: the command and its output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cu_core.errors import ConfigError
from cu_core.storage import shown
from cu_core.yaml_io import config_file, read_yaml
from pipelines.console import console

if TYPE_CHECKING:  # importing it takes seconds
    from pipelines.sweep.result import SweepResult


def sweep(
    config: Annotated[
        Path, typer.Argument(parser=config_file, help="Sweep, e.g. tune_configs/sweeps/digits_class.yaml.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Settings that replace the file's, e.g. trials=4."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the sweep. Default: the name of the file.")] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="NAME", help="Continue an interrupted sweep of this file.")
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="objective=proxy: measure how well it ranks trials like the oracle; no trial ends early.",
        ),
    ] = False,
) -> None:
    """Search settings with Ray Tune on the stop set, and run the winner again on fresh seeds.

    The trials, the report and winner.yaml are written to STORAGE/sweeps/NAME (outputs/sweeps). Exit status 1: a trial
    failed.
    """
    read_yaml(config, "sweeps")
    from pipelines.sweep.run import run_sweep
    from pipelines.sweep.space import read_sweep

    if name and resume:
        raise ConfigError("--name and --resume: a sweep that goes on keeps its name; give one of them.")
    swept = run_sweep(read_sweep(config, overrides or [], calibrate), resume or name or config.stem, resume is not None)
    _tell(swept)
    if any(trial.state == "failed" for trial in swept.trials):
        raise typer.Exit(1)


def _tell(swept: SweepResult) -> None:
    """Print failed trials, the result, and the paths of its files."""
    from pipelines.sweep.page import conclusion

    for trial in swept.trials:
        if trial.state == "failed":
            console.print(f"trial {trial.number} failed: {trial.reason}", highlight=False)
    console.print(conclusion(swept), highlight=False)
    if swept.rank_correlation is not None:
        ranked = len([trial for trial in swept.trials if trial.state == "finished"])
        told = f"rank correlation of proxy and gap: {swept.rank_correlation:.2f} over {ranked} finished trials"
        console.print(told, highlight=False)
    report, winner = (shown(swept.folder / name) for name in ("report.html", "winner.yaml"))
    console.print(f"report  {report}\nwinner  cu unlearn {winner}", soft_wrap=True, highlight=False)
