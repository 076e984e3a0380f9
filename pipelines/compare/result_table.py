"""A table of a comparison, whatever it is drawn with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Entry:
    """One field of a table."""

    text: str
    mark: Literal["", "best", "tie"] = ""


@dataclass(frozen=True)
class ResultTable:
    """One group of requests."""

    title: str
    headings: list[str]
    rows: list[tuple[str, list[Entry]]]
    controls: int
    """How many of the rows, the first ones, are controls."""
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Footnotes."""
    brief: bool = True
    """Whether the terminal shows it; the values behind the differences are in the files."""
