"""One figure in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """Description of one figure, for readers of a report."""

    definition: str
    formula: str
    source: str
    pitfalls: str
