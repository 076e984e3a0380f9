"""From figures to a word, by a stated rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cu_core.audit.oracle_gap import Figures, difference, tolerance
from cu_core.audit.table import METRICS

Word = Literal["indistinguishable", "under-forgotten", "over-forgotten", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """The word and the figures that led to it."""

    word: Word
    reason: str
    outside: dict[str, float]
    """Metrics beyond their tolerance and by how many points they differ from the oracle (signed)."""


def _outside(model: Figures, oracles: Sequence[Figures], margin: float) -> dict[str, float]:
    found = {n: difference(n, model, oracles) for n in model if n in METRICS}
    return {n: d for n, d in found.items() if abs(d) > tolerance(n, oracles, margin)}


def judge(original: Figures, unlearned: Figures, oracles: Sequence[Figures], margin: float) -> Verdict:
    """Every metric within tolerance of the oracle: indistinguishable. A forget-side metric above it: under-forgotten;
    else one below, or a utility metric off: over-forgotten. Where the original itself lies within tolerance on every
    forget-side metric, or there is no oracle, nothing can be concluded.
    """
    if not oracles:
        return Verdict("inconclusive", "no oracle was trained", {})
    off = _outside(unlearned, oracles, margin)
    power = [n for n in _outside(original, oracles, margin) if METRICS[n].side == "forget"]
    if not power:
        return Verdict("inconclusive", "the original itself lies within tolerance of the oracle: no power", off)
    if not off:
        return Verdict("indistinguishable", "every metric lies within tolerance of the oracle", off)
    named = ", ".join(f"{METRICS[n].title} {d:+.1f}" for n, d in off.items())
    if any(METRICS[n].side == "forget" and d > 0 for n, d in off.items()):
        return Verdict("under-forgotten", f"against the oracle: {named}", off)
    return Verdict("over-forgotten", f"against the oracle: {named}", off)
