"""Files that describe many runs (comparisons, sweeps): a base configuration and changes to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cu_core.errors import ConfigError
from cu_core.validation import check_keys, check_texts
from cu_core.yaml_io import merge, overridden, read_yaml

Settings = Mapping[str, Any]


OWN = ("method", "optimizer", "batches", "stop", "batch_norm", "preset")
"""Parts of the run configuration that belong to a method."""


DRAWN = ("by_random", "by_neighbours")
"""Kinds of requests whose rows are drawn with a seed."""


def with_settings(values: Settings, dotted: Settings) -> dict[str, Any]:
    """Return the mapping with dotted keys set in it."""
    return overridden(values, [f"{key}={json.dumps(value)}" for key, value in dotted.items()])


def read_values(path: Path, overrides: Sequence[str], kind: type, word: str, folder: str) -> dict[str, Any]:
    """Read a file that is based on a run configuration, and check its keys against ``kind``.

    Raises: ConfigError.
    """
    values = overridden(read_yaml(path, folder), overrides)
    if "base" not in values:
        raise ConfigError(f"{path} is no {word}: it has no key base (`cu unlearn` takes run configurations).")
    check_texts(values)
    check_keys(values, kind, "")
    return values


def read_base(path: Path, base: str, changes: Settings) -> dict[str, Any]:
    """Read the run configuration that the file ``path`` names, and apply its changes.

    Raises: ConfigError.
    """
    file = path.parent / base
    if not file.is_file():
        raise ConfigError(f"base: no configuration file {file} (the path is relative to {path.parent}).")
    return merge(read_yaml(file), changes)
