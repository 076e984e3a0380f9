"""What is wrong with a mapping of settings, in one line with the dotted path. Imports no torch."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from cu_core.errors import ConfigError

INTERNAL = {"internal": True}
"""Metadata of a field that commands set and configuration files cannot."""


def _part_types(annotation: Any) -> list[Any]:
    options = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else [annotation]
    )
    return [o for o in options if dataclasses.is_dataclass(o)]


def check_keys(values: Mapping[str, Any], kind: Any, path: str, of: str = "") -> None:
    """Unknown keys, before validation: the message names the nearest valid one, or those ``of`` a kind."""
    hints = typing.get_type_hints(kind)
    names = _names(kind)
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
    return [f.name for f in dataclasses.fields(kind) if not f.metadata.get("internal")]


def _unknown_key(path: str, key: str, names: Sequence[str], of: str = "") -> None:
    near = difflib.get_close_matches(key, names, 1, cutoff=0.4)
    hint = f"did you mean {path.removesuffix(key)}{near[0]}?" if near else f"keys{of} there: {', '.join(names)}."
    raise ConfigError(f"{path}: unknown key; {hint}")


def _unknown_value(path: str, value: object, valid: Sequence[str]) -> None:
    near = difflib.get_close_matches(str(value), valid, 1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"must be one of {', '.join(valid)}."
    raise ConfigError(f"{path}: unknown value {value!r}; {hint}")


def one_line(error: ValidationError, members: Collection[str] = ()) -> str:
    """The most telling of pydantic's complaints: path, what must hold, what came.

    Args:
        error: What pydantic raised.
        members: Names of members of unions, which pydantic puts into paths; they are left out.
    """

    def path_of(item: Mapping[str, Any]) -> str:
        return ".".join(str(p) for p in item["loc"] if str(p) not in members) or "configuration"

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
