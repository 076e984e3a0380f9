"""YAML and dotted overrides -> RunConfig; every mistake is one line with its dotted path."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from cu_core.config import RunConfig
from cu_core.data.requests import RESOLVERS
from cu_core.errors import ConfigError
from cu_core.methods.table import METHODS
from cu_core.models.build import IMAGE_TEXT
from cu_core.presets import preset_for
from cu_core.types import RequestKind
from cu_core.yaml_io import merge, overridden, read_yaml

RUN_CONFIG = TypeAdapter(RunConfig)


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> RunConfig:
    """Load a run's configuration: defaults < preset < YAML file < ``key.path=value`` overrides.

    Args:
        path: YAML file, or ``None`` for the defaults.
        overrides: Strings ``key.path=value``.

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
    return config_from(overridden(values, overrides))


def config_from(values: Mapping[str, Any]) -> RunConfig:
    """Validate a plain mapping; values that it does not give come from the preset and the defaults.

    Raises:
        ConfigError: A key or value is not valid.
    """
    check_keys(values, RunConfig, "")
    request = values.get("request", {})
    by = request.get("kind", "by_class") if isinstance(request, Mapping) else "by_class"
    method, model = values.get("method", {}), values.get("model", {})
    pairs = isinstance(model, Mapping) and str(model.get("name", "")).startswith(tuple(IMAGE_TEXT))
    own = "contrastive_clip" if pairs else "contrastive"
    name = method.get("name", own) if isinstance(method, Mapping) else own
    kind: RequestKind = "class" if by == "by_class" or (pairs and by == "by_concept") else "sample"
    if pairs and values.get("preset") == "paper":
        raise ConfigError("preset: paper is for classifiers; an image-text model has the default only.")
    preset = preset_for(values.get("preset", "default"), kind, name, pairs)
    merged = merge(merge({"request": {"kind": by}, "method": {"name": name}}, preset), values)
    try:
        return RUN_CONFIG.validate_python(merged)
    except ValidationError as error:
        raise ConfigError(one_line(error)) from error


def as_plain(config: RunConfig) -> dict[str, Any]:
    """Convert the resolved configuration to plain JSON types."""
    plain: dict[str, Any] = RUN_CONFIG.dump_python(config, mode="json")
    return plain


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


def _part_types(annotation: Any) -> list[Any]:
    options = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else [annotation]
    )
    return [o for o in options if dataclasses.is_dataclass(o)]


def check_keys(values: Mapping[str, Any], kind: Any, path: str, of: str = "") -> None:
    """Reject unknown keys before validation.

    The message names the nearest valid key, or all valid keys if none is near.

    Args:
        values: The settings.
        kind: The dataclass that they belong to.
        path: Dotted path of ``values``, with a dot at its end.
        of: Name of the method or request, for the message.

    Raises:
        ConfigError: A key is unknown, or a value must be a mapping and is not.
    """
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    for key, value in values.items():
        if key not in names:
            _unknown_key(f"{path}{key}", str(key), names, of)
        parts = _part_types(hints[key])
        if not parts or (value is None and types.NoneType in typing.get_args(hints[key])):
            continue
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path}{key}: must hold keys and values, got {value!r}.")
        tag = "kind" if any("kind" in _names(p) for p in parts) else "name"
        chosen = [p for p in parts if getattr(p, tag, None) == value.get(tag)] if len(parts) > 1 else parts
        if len(parts) > 1 and tag in value and not chosen:
            _unknown_value(f"{path}{key}.{tag}", value[tag], [str(getattr(p, tag)) for p in parts])
        if len(chosen) == 1:
            check_keys(value, chosen[0], f"{path}{key}.", f" of {value[tag]}" if len(parts) > 1 else "")
        else:
            for inner in value:
                if not any(inner in _names(p) for p in parts):
                    _unknown_key(f"{path}{key}.{inner}", str(inner), sorted({n for p in parts for n in _names(p)}))


def _names(kind: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(kind)]


def _unknown_key(path: str, key: str, names: Sequence[str], of: str = "") -> None:
    near = difflib.get_close_matches(key, names, 1, cutoff=0.4)
    hint = f"did you mean {path.removesuffix(key)}{near[0]}?" if near else f"keys{of} there: {', '.join(names)}."
    raise ConfigError(f"{path}: unknown key; {hint}")


def _unknown_value(path: str, value: object, valid: Sequence[str]) -> None:
    near = difflib.get_close_matches(str(value), valid, 1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"must be one of {', '.join(valid)}."
    raise ConfigError(f"{path}: unknown value {value!r}; {hint}")


def one_line(error: ValidationError) -> str:
    """Return the most informative error of pydantic as one line: path, what must hold, what came."""

    def path_of(item: Mapping[str, Any]) -> str:
        skip = {*RESOLVERS, *METHODS}  # pydantic names the member of a union in its path; users do not
        return ".".join(str(p) for p in item["loc"] if str(p) not in skip) or "configuration"

    items = sorted(error.errors(), key=lambda e: e["type"] in ("literal_error", "missing", "dataclass_type"))
    first = items[0]
    message = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    path = path_of(first)
    came = first["input"]
    shown = f", got {came!r}" if first["type"] != "value_error" and not isinstance(came, Mapping) else ""
    if first["type"] == "literal_error" and isinstance(came, str):
        near = difflib.get_close_matches(
            came, str(first["ctx"]["expected"]).replace("'", "").split(" or ")[0].split(", "), 1
        )
        shown += f"; did you mean {near[0]}?" if near else ""
    return f"{path}: {message}{shown}." if path != "configuration" else f"{message}."
