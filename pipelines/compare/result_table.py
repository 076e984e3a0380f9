"""A table of a comparison, independent of its output format."""

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
    """Table of one group of requests."""

    title: str
    headings: list[str]
    rows: list[tuple[str, list[Entry]]]
    controls: int
    """Number of controls, which are the first rows."""
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Footnotes."""
    brief: bool = True
    """Whether the terminal shows it. Tables of values are in the files only."""
