"""``cu methods``: the methods, their requirements, and the meaning of every setting.

The command reads ``methods.json``, so it does not import torch. `python -m pipelines.cli.methods` writes this file from
the code, and a test checks that both agree.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from cu_core.errors import ConfigError

FILE = Path(__file__).with_name("methods.json")


def show_methods(name: str | None) -> None:
    """Print all methods briefly, or one method with all its settings.

    Raises: ConfigError for an unknown name.
    """
    methods: dict[str, Any] = json.loads(FILE.read_text())
    if name is not None and name not in methods:
        near = difflib.get_close_matches(name, methods, 1)
        raise ConfigError(
            f"no method {name!r}; {f'did you mean {near[0]}? ' if near else ''}methods: {', '.join(methods)}."
        )
    console = Console()
    for each in methods if name is None else [name]:
        method = methods[each]
        console.print(f"[bold]{each}[/]  {method['about']}", highlight=False)
        facts = Table.grid(padding=(0, 2))
        facts.add_row("forgets", " or ".join("a class" if k == "class" else "samples" for k in method["kinds"]))
        facts.add_row("needs", ", ".join(method["needs"]) or "the weights alone")
        facts.add_row("settings", " ".join(method["settings"]) or "none of its own")
        facts.add_row("source", method["source"])
        console.print(Padding(facts, (0, 0, 0 if name else 1, 2)), highlight=False)
        if name is not None and method["settings"]:
            table = Table("setting", *method["kinds"], "values", "meaning", title_justify="left")
            table.title = "settings and their defaults by kind of request"
            for setting, told in method["settings"].items():
                table.add_row(f"method.{setting}", *told["defaults"], told["values"], told["meaning"])
            console.print(table)


def described() -> dict[str, Any]:
    """Describe all methods, from the code."""
    from cu_core.methods.table import METHODS
    from cu_core.presets import preset_for

    found = {}
    for name, kind in METHODS.items():
        method, presets = kind(), [preset_for("default", k, name).get("method", {}) for k in kind.kinds]
        found[name] = {
            "about": " ".join((kind.__doc__ or "").split()),
            "kinds": list(kind.kinds),
            "needs": sorted(method.needs()),
            "source": kind.source,
            "settings": {
                setting: {
                    "defaults": [str(preset.get(setting, getattr(method, setting))) for preset in presets],
                    "values": _values(schema),
                    "meaning": " ".join(schema["description"].split()),
                }
                for setting, schema in _settings(kind).items()
            },
        }
    return found


def _settings(method: type) -> dict[str, Any]:
    """Return the JSON schema of every setting, including inherited ones, with its docstring."""
    from pydantic import TypeAdapter

    settings: dict[str, Any] = {}
    for kind in reversed(method.__mro__):
        if is_dataclass(kind):
            found = TypeAdapter(kind).json_schema()["properties"]
            settings |= {name: schema for name, schema in found.items() if "description" in schema}
    return settings


def _values(schema: Mapping[str, Any]) -> str:
    """Describe the values that a setting takes."""
    if "anyOf" in schema:
        return " or ".join(_values(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    if schema.get("type") in ("number", "integer"):
        low, high = (schema.get(name, schema.get(f"exclusive{name.title()}")) for name in ("minimum", "maximum"))
        above, below = "above " * ("exclusiveMinimum" in schema), "below " * ("exclusiveMaximum" in schema)
        return f"{above}{low:g} to {below}{high:g}"
    return {"boolean": "true, false"}.get(schema.get("type", ""), str(schema.get("type", schema.get("const", ""))))


if __name__ == "__main__":
    FILE.write_text(json.dumps(described(), indent=1) + "\n")
