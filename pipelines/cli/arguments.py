"""Arguments that several commands share. This module does not import torch, so help and most errors are fast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cu_core.storage import place
from cu_core.yaml_io import config_file, read_yaml

if TYPE_CHECKING:
    from cu_core.config import RunConfig

Config = Annotated[
    Path,
    typer.Argument(
        parser=config_file, help="Configuration file or its address, e.g. tune_configs/base/digits_class.yaml."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY.PATH=VALUE]...", help="Settings that replace the file's, e.g. method.temperature=0.3."
    ),
]
Local = Annotated[bool, typer.Option("--local", help="Run in this process, without Ray.")]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Show the resolved configuration and stop.")]
Packed = Annotated[
    Path, typer.Argument(parser=place, metavar="FOLDER", help="A packed data set; also an address (s3://...).")
]
Model = Annotated[str, typer.Argument(help="A run's name, a model folder, a weights file, or an MLflow URI.")]
ModelConfig = Annotated[
    Path | None,
    typer.Option("--config", help="File with the data, request and original of the model. Default: those of its run."),
]


def out_option(about: str) -> Any:
    return typer.Option("--out", parser=place, metavar="PATH", help=about)


TableOut = Annotated[Path | None, out_option("Markdown file for the table.")]


def settings_of(config: Path, overrides: list[str] | None) -> RunConfig:
    """Resolve the configuration. A missing file or invalid YAML is reported before any large library is imported.

    Raises: ConfigError.
    """
    read_yaml(config)
    from cu_core.config_io import load_config

    return load_config(config, overrides or [])
