"""YAML files and ``key.path=value`` settings as plain mappings; ``config_io`` gives them their meaning."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cu_core.errors import ConfigError
from cu_core.messages import shown_value
from cu_core.storage import named_file
from cu_core.text_file import read_text
from cu_core.yaml_loader import DEEPEST, load_yaml

NULL = ("", "~", "null", "Null", "NULL")
"""What YAML has for nothing."""
SHIPPED = Path(__file__).parents[1]
"""Folder that holds ``tune_configs``: a checkout, or the packages of an installation."""


def config_file(text: str) -> Path:
    """Return the path of a configuration file that a user names; it is fetched if it lies at an address.

    A path that begins with ``tune_configs`` and does not exist here is that of the installed package.
    """
    if "://" in text:
        return named_file(text)
    path = Path(text)
    shipped = SHIPPED / path
    return shipped if path.parts[:1] == ("tune_configs",) and not path.is_file() and shipped.is_file() else path


def read_yaml(path: Path, folder: str = "base") -> dict[str, Any]:
    """Read a configuration file.

    Args:
        path: The file.
        folder: Folder of tune_configs with complete examples, for the message.

    Returns:
        Its keys and values.

    Raises:
        ConfigError: The file does not exist, is no text, or is not YAML of keys and values.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a configuration file, as in tune_configs/{folder}/.")
    if not path.is_file():
        raise ConfigError(f"no configuration file {path}; complete ones are in tune_configs/{folder}/.")
    return parse_yaml(read_text(path), str(path))


def overridden(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply ``key.path=value`` settings, whatever their order.

    Raises:
        ConfigError: A setting is malformed.
    """
    given: dict[str, Any] = {}
    for override in overrides:
        given = merge(given, parse_override(override))
    return merge(values, given)


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """Parse YAML of keys and values.

    Args:
        text: The text.
        source: Its name, for the message.

    Returns:
        Keys and values; empty for an empty text.

    Raises:
        ConfigError: It is not valid YAML, or is not a mapping.
    """
    loaded = load_yaml(text, source)
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{source} must hold keys and values, it holds a {type(loaded).__name__}.")
    return loaded


def parse_override(text: str) -> dict[str, Any]:
    """Parse one ``key.path=value`` setting into nested mappings; the value is YAML.

    Raises:
        ConfigError: The setting is malformed.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(
            f"override {shown_value(text)} must have the form key.path=value, e.g. method.temperature=0.3."
        )
    if len(parts := key.split(".")) > DEEPEST:
        raise ConfigError(f"override {text[:60]!r}...: a key has at most {DEEPEST} parts, this one has {len(parts)}.")
    parsed: Any = load_yaml(value, f"override {shown_value(text)}: the value") if value else None
    if parsed is None and value.strip() not in NULL:
        raise ConfigError(
            f"override {shown_value(text)}: the value must not be empty, and what begins with # or & is in YAML; quote "
            f"it twice: {key}='\"{value[:60]}\"'."
        )
    for part in reversed(parts):
        parsed = {part: parsed}
    return typing.cast("dict[str, Any]", parsed)


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested mappings, ``over`` first.

    Another ``kind`` or ``name`` in a part replaces the part, since its fields belong to another class.
    """
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        tags = [t for t in ("kind", "name") if isinstance(old, Mapping) and isinstance(value, Mapping) and t in value]
        changed = key in ("request", "method") and any(old.get(t, value[t]) != value[t] for t in tags)  # type: ignore[union-attr]
        if isinstance(old, Mapping) and isinstance(value, Mapping) and not changed:
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged
