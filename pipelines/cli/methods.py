"""``cu methods``: what there is, what it needs, and every setting with its meaning."""

from __future__ import annotations

import difflib
from dataclasses import is_dataclass

from pydantic import TypeAdapter
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from cu_core.config_io import ConfigError
from cu_core.methods.table import METHODS
from cu_core.presets import preset_for


def show_methods(name: str | None) -> None:
    """All methods in short, or one with its settings explained.

    Raises: ConfigError for a name that is not there.
    """
    if name is not None and name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, 1)
        raise ConfigError(
            f"no method {name!r}; {f'did you mean {near[0]}? ' if near else ''}methods: {', '.join(METHODS)}."
        )
    console = Console()
    for each in METHODS if name is None else [name]:
        kind = METHODS[each]
        method, settings = kind(), _meanings(each)
        console.print(f"[bold]{each}[/]  {' '.join((kind.__doc__ or '').split())}", highlight=False)
        facts = Table.grid(padding=(0, 2))
        facts.add_row("forgets", " or ".join("a class" if k == "class" else "samples" for k in kind.kinds))
        facts.add_row("needs", ", ".join(sorted(method.needs())) or "the weights alone")
        facts.add_row("settings", " ".join(settings) or "none of its own")
        facts.add_row("source", kind.source)
        console.print(Padding(facts, (0, 0, 0 if name else 1, 2)), highlight=False)
        if name is not None and settings:
            table = Table("setting", *kind.kinds, "meaning", title="settings, by default", title_justify="left")
            presets = [preset_for("default", k, each).get("method", {}) for k in kind.kinds]
            for setting, meaning in settings.items():
                values = [str(preset.get(setting, getattr(method, setting))) for preset in presets]
                table.add_row(f"method.{setting}", *values, " ".join(meaning.split()))
            console.print(table)


def _meanings(name: str) -> dict[str, str]:
    """Settings and their docstrings, inherited ones too."""
    meanings: dict[str, str] = {}
    for kind in reversed(METHODS[name].__mro__):
        if is_dataclass(kind):
            found = TypeAdapter(kind).json_schema()["properties"]
            meanings |= {n: s["description"] for n, s in found.items() if "description" in s}
    return meanings
