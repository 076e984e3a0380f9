"""YAML and dotted overrides -> RunConfig; every mistake is one line with its dotted path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from cu_core import validation
from cu_core.audit.subject import AuditConfig
from cu_core.config import DataConfig, RunConfig
from cu_core.data.requests import RESOLVERS
from cu_core.errors import ConfigError
from cu_core.methods.table import METHODS
from cu_core.models.build import reads_captions
from cu_core.models.published import has_layer_norm
from cu_core.presets import preset_for
from cu_core.removed import check_removed
from cu_core.secrets import masked_settings
from cu_core.types import RequestKind
from cu_core.validation import check_keys, check_texts
from cu_core.yaml_io import merge, overridden, read_yaml

NOTHING: Mapping[str, Any] = {}


@cache
def run_config() -> TypeAdapter[RunConfig]:
    """Build the validator of configurations, once; it takes a third of a second, which a wrong key does not need."""
    return TypeAdapter(RunConfig)


def load_config(path: Path | None, overrides: Sequence[str] = (), *, record: bool = False) -> RunConfig:
    """Load a run's configuration: defaults < preset < YAML file < ``key.path=value`` overrides.

    Args:
        path: YAML file, or ``None`` for the defaults.
        overrides: Strings ``key.path=value``.
        record: Whether the file was written by a run, and so may hold internal settings.

    Returns:
        The validated configuration.

    Raises:
        ConfigError: A key or value is not valid.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = read_yaml(path)
        for key, command in (("space", "sweep"), ("methods", "compare")):
            if key in values and "base" in values:
                raise ConfigError(f"{path} is made for `cu {command}`; this command takes a run's configuration.")
    internal = split_internal(values) if record else {}
    return config_from(overridden(values, overrides), internal)


def config_from(values: Mapping[str, Any], internal: Mapping[str, Any] = NOTHING) -> RunConfig:
    """Validate a plain mapping; values that it does not give come from the preset and the defaults.

    Args:
        values: What the user set.
        internal: Settings that users cannot set, e.g. ``{"audit": {"report_on": "stop"}}``.

    Returns:
        The validated configuration.

    Raises:
        ConfigError: A key or value is not valid.
    """
    check_texts(values)
    request = values.get("request", {})
    by = request.get("kind", "by_class") if isinstance(request, Mapping) else "by_class"
    method, model = values.get("method", {}), values.get("model", {})
    model_name = model.get("name") if isinstance(model, Mapping) else None
    pairs = isinstance(model_name, str) and reads_captions(model_name)
    own = "contrastive_clip" if pairs else "contrastive"
    name = method.get("name", own) if isinstance(method, Mapping) else own
    check_removed(values, name if isinstance(name, str) else "")
    check_keys(values, RunConfig, "")
    kind: RequestKind = "class" if by == "by_class" or (pairs and by == "by_concept") else "sample"
    if pairs and values.get("preset") == "paper":
        raise ConfigError("preset: paper is for classifiers; an image-text model has the default only.")
    wanted = values.get("preset", "default")
    layer_norm = isinstance(model_name, str) and has_layer_norm(model_name)
    preset = preset_for(wanted, kind, name, pairs, layer_norm) if isinstance(wanted, str) else {}
    merged = merge(merge({"request": {"kind": by}, "method": {"name": name}}, preset), values)
    check_keys(merged, RunConfig, "")
    try:
        return run_config().validate_python(merge(merged, internal))
    except ValidationError as error:
        raise ConfigError(one_line(error)) from error


def as_plain(config: RunConfig) -> dict[str, Any]:
    """Convert the resolved configuration to plain JSON types.

    Internal settings appear only where they are not the default; passwords in addresses are hidden.
    """
    plain: dict[str, Any] = masked_settings(run_config().dump_python(config, mode="json"))
    internal = split_internal(plain)
    for part, values in internal.items():
        unset = getattr(RunConfig(), part)
        plain[part] |= {key: value for key, value in values.items() if value != getattr(unset, key)}
    return plain


def split_internal(values: dict[str, Any]) -> dict[str, Any]:
    """Take the internal settings out of plain ``values`` and return them."""
    found: dict[str, Any] = {}
    for part, kind in (("data", DataConfig), ("audit", AuditConfig)):
        held = values.get(part)
        names = [f.name for f in fields(kind) if f.metadata.get("internal")]
        if isinstance(held, dict) and (own := {name: held.pop(name) for name in names if name in held}):
            found[part] = own
    return found


def dump_config(config: RunConfig) -> str:
    """Write the resolved configuration as YAML."""
    return yaml.safe_dump(as_plain(config), sort_keys=False)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """List the settings in which two mappings differ, e.g. ``seed was 0, is 1``.

    If the method or the request differs, only its name or kind is listed.

    Args:
        old: Earlier settings.
        new: Present settings.
        path: Prefix of the dotted paths.

    Returns:
        One text for each difference.
    """
    found = []
    keys = [tag for tag in ("kind", "name") if old.get(tag) != new.get(tag)] or dict.fromkeys([*old, *new])
    for key in keys:
        was, now = old.get(key), new.get(key)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            found += differences(was, now, f"{path}{key}.")
        elif was != now:
            found.append(f"{path}{key} was {was}, is {now}")
    return found


def one_line(error: ValidationError) -> str:
    """The most telling of pydantic's complaints about a run's configuration."""
    return validation.one_line(error, {*RESOLVERS, *METHODS})
