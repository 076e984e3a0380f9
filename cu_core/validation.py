"""What is wrong with a mapping of settings, in one line with the dotted path. Imports no torch."""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ArgsKwargs

from cu_core.errors import ConfigError
from cu_core.messages import LONGEST_SHOWN, shown_value
from cu_core.yaml_loader import DEEPEST

INTERNAL = {"internal": True}
"""Metadata of a field that commands set and configuration files cannot."""


def _part_types(annotation: Any) -> list[Any]:
    options = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else [annotation]
    )
    return [o for o in options if dataclasses.is_dataclass(o)]


BOOLEANS = "; YAML reads yes, no, on, off, true and false as such: quote it if it is a text"
LONGEST_TEXT = 10_000
UNION_LABELS = ("int", "float", "str", "constrained-int", "constrained-float", "constrained-str")
"""Names that pydantic puts into the path of a setting that may have several types."""


def check_keys(values: Mapping[str, Any], kind: Any, path: str, of: str = "") -> None:
    """Unknown keys, before validation: the message names the nearest valid one, or those ``of`` a kind."""
    hints = typing.get_type_hints(kind)
    names = _names(kind)
    for key, value in values.items():
        if key not in names:
            _unknown_key(path, key, names, of)
        parts = _part_types(hints[key])
        if not parts or (value is None and types.NoneType in typing.get_args(hints[key])):
            continue
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path}{key}: must hold keys and values, got {shown_value(value)}.")
        tag = "kind" if any("kind" in _names(p) for p in parts) else "name"
        chosen = [p for p in parts if getattr(p, tag, None) == value.get(tag)] if len(parts) > 1 else parts
        if len(parts) > 1 and tag in value and not chosen:
            _unknown_value(f"{path}{key}.{tag}", value[tag], [str(getattr(p, tag)) for p in parts])
        if len(chosen) == 1:
            check_keys(value, chosen[0], f"{path}{key}.", f" of {value[tag]}" if len(parts) > 1 else "")
        else:
            for inner in value:
                if not any(inner in _names(p) for p in parts):
                    _unknown_key(f"{path}{key}.", inner, sorted({n for p in parts for n in _names(p)}))


def _names(kind: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(kind) if not f.metadata.get("internal")]


def _unknown_key(path: str, key: object, names: Sequence[str], of: str = "") -> None:
    text = key if isinstance(key, str) and key.isprintable() else shown_value(key)
    text = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
    near = difflib.get_close_matches(text, names, 1, cutoff=0.45)
    hint = f"did you mean {path}{near[0]}?" if near else f"keys{of} there: {', '.join(names)}."
    raise ConfigError(f"{path}{text}: unknown key; {hint}")


def _unknown_value(path: str, value: object, valid: Sequence[str]) -> None:
    near = difflib.get_close_matches(shown_value(value), valid, 1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"must be one of {', '.join(valid)}."
    raise ConfigError(f"{path}: unknown value {shown_value(value)}; {hint}")


def check_texts(values: Mapping[Any, Any]) -> None:
    """Check that every text can be written to a file and shown, and that no value lies too deep.

    Raises:
        ConfigError: A text is longer than ``LONGEST_TEXT``, or holds a zero byte or half of a surrogate pair.
    """
    waiting: list[tuple[str, Any, int]] = [("", values, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        if depth > DEEPEST:
            raise ConfigError(f"{path[:LONGEST_SHOWN]}...: more than {DEEPEST} levels of nesting.")
        if isinstance(value, Mapping):
            before = f"{path}." if path else ""
            waiting += [(f"{before}{str(key)[:LONGEST_SHOWN]}", v, depth + 1) for key, v in value.items()]
        elif isinstance(value, list | tuple | set):
            waiting += [(path, item, depth + 1) for item in value]
        elif isinstance(value, str) and (len(value) > LONGEST_TEXT or re.search(r"[\0\ud800-\udfff]", value)):
            must = f"a text has at most {LONGEST_TEXT} characters, without zero bytes and halves of surrogate pairs"
            raise ConfigError(f"{path}: {must}, got {shown_value(value)} ({len(value)} characters).")


def one_line(error: ValidationError, members: Collection[str] = ()) -> str:
    """The most telling of pydantic's complaints: path, what must hold, what came.

    Args:
        error: What pydantic raised.
        members: Names of members of unions, which pydantic puts into paths; they are left out.
    """

    def path_of(item: Mapping[str, Any]) -> str:
        return ".".join(str(p) for p in item["loc"] if str(p) not in {*members, *UNION_LABELS}) or "configuration"

    items = sorted(error.errors(), key=lambda e: e["type"] in ("literal_error", "missing", "dataclass_type"))
    first = items[0]
    message = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    if first["type"] == "tuple_type":
        message = "must be a list in brackets"
    path = path_of(first)
    came = first["input"]
    shown = f", got {shown_value(came)}" if not isinstance(came, Mapping | ArgsKwargs) else ""
    if first["type"] == "literal_error" and isinstance(came, str):
        near = difflib.get_close_matches(
            came, str(first["ctx"]["expected"]).replace("'", "").split(" or ")[0].split(", "), 1
        )
        shown += f"; did you mean {near[0]}?" if near else ""
    texts = [item for item in items if item["type"] == "string_type" and item["input"] is came]
    if texts and (texts[0] is first or isinstance(came, bool | float)):
        shown += (
            BOOLEANS if isinstance(came, bool) else "; put a text in quotes" if isinstance(came, int | float) else ""
        )
    return f"{path}: {message}{shown}." if path != "configuration" else f"{message}."
