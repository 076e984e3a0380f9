"""``cu repeat``, ``cu compare``: many runs and one table."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cu_core.errors import ConfigError
from cu_core.yaml_io import config_file, read_yaml
from pipelines.cli.arguments import Config, Overrides, TableOut


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
    """Run one configuration over seeds, classes or other settings as Ray tasks, and print means and spreads."""
    read_yaml(config)
    from pipelines.grid.repeat import run_repeat

    run_repeat(config, overrides or [], vary or [], out)


def compare(
    config: Annotated[
        str | None, typer.Argument(metavar="[CONFIG]", help="Comparison, e.g. tune_configs/compare/digits.yaml.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY.PATH=VALUE]...", help="Settings that replace the file's, e.g. seeds=[0]; mappings are merged."
        ),
    ] = None,
    out: TableOut = None,
    only: Annotated[
        str | None, typer.Option("--methods", help="Only these methods of the file, separated by commas.")
    ] = None,
    reproduce: Annotated[
        Literal["paper"] | None,
        typer.Option(
            "--reproduce", help="Without CONFIG: the paper's results beside ours, on the data sets that are packed."
        ),
    ] = None,
) -> None:
    """Run every method of a file on every request and seed within one budget, and print a table with the oracle.

    Tables and an HTML report are written to STORAGE/compare (outputs/compare). A second start reuses finished cells.
    """
    words = [*([config] if config else []), *(overrides or [])]
    if reproduce:
        wrong = [w for w in words if "=" not in w]
        if wrong:
            raise ConfigError(f"--reproduce takes settings alone (KEY.PATH=VALUE), not {wrong[0]!r}.")
        from pipelines.compare.paper import reproduce as reproduce_paper

        reproduce_paper(words, out)
        return
    if config is None:
        raise ConfigError("name a comparison, e.g. tune_configs/compare/digits.yaml, or give --reproduce paper.")
    path = config_file(config)
    read_yaml(path, "compare")
    from pipelines.compare.command import compare as run_compare

    run_compare(path, overrides or [], out, only.split(",") if only is not None else None)
