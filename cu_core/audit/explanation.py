"""One figure in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """For readers of a report."""

    definition: str
    formula: str
    source: str
    pitfalls: str
