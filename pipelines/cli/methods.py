"""``cu methods``: the methods, their requirements, and the meaning of every setting.

The command reads ``methods.json``, so it does not import torch. `python -m pipelines.cli.methods` writes this file from
the code, and a test checks that both agree.
"""

from __future__ import annotations

import difflib
import json
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
            table = Table("setting", *method["kinds"], "meaning", title="settings, by default", title_justify="left")
            for setting, told in method["settings"].items():
                table.add_row(f"method.{setting}", *told["defaults"], told["meaning"])
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
                    "meaning": " ".join(meaning.split()),
                }
                for setting, meaning in _meanings(kind).items()
            },
        }
    return found


def _meanings(method: type) -> dict[str, str]:
    """Return the docstring of every setting, including inherited ones."""
    from pydantic import TypeAdapter

    meanings: dict[str, str] = {}
    for kind in reversed(method.__mro__):
        if is_dataclass(kind):
            found = TypeAdapter(kind).json_schema()["properties"]
            meanings |= {n: s["description"] for n, s in found.items() if "description" in s}
    return meanings


if __name__ == "__main__":
    FILE.write_text(json.dumps(described(), indent=1) + "\n")
