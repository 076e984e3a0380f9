"""From figures to a word, by a stated rule with a stated error rate.

1. Every judged metric of the model is held against the oracles. Its tolerance is the larger of the equivalence margin
   and the prediction interval of one more oracle (``oracle_gap.band``), at level ``family_error / number of judged
   metrics`` (Bonferroni), so that an oracle, as one more draw, nominally fails on any metric with probability
   ``family_error``; `cu calibrate` measures it.
2. Controls: held-out oracles must pass an audit, each judged by the others (at most a fifth may fail, else the audit is
   ``inconclusive``; fewer than three oracles are no control), and the original must fail it (else it has no power).
3. An audit says ``under-forgotten`` if a forget metric lies above its tolerance, else ``over-forgotten`` if any metric
   lies outside (too much forgotten, too much damaged, or answers that no oracle gives; more useful than the oracles is
   no fault), else ``indistinguishable`` if both controls hold, else ``inconclusive``.
4. Overall: ``under-forgotten`` if an audit says so, else ``over-forgotten`` if one says so, else ``indistinguishable``
   if one does, else ``inconclusive``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cu_core.audit.oracle_gap import Band, Figures, band, difference
from cu_core.audit.subject import AuditConfig, AuditName
from cu_core.audit.table import METRICS

Word = Literal["indistinguishable", "under-forgotten", "over-forgotten", "inconclusive"]
MOST_FAILED = 0.2


@dataclass(frozen=True)
class AuditVerdict:
    """What one audit says, and whether it could have said otherwise."""

    word: Word
    reason: str
    outside: Mapping[str, float]
    """Metrics beyond their tolerance and by how many points they differ from the oracles (signed)."""
    original_fails: bool
    oracles_passed: int
    """Of the oracles, each held out and judged by the others."""


@dataclass(frozen=True)
class Verdict:
    """The word and the figures that led to it."""

    word: Word
    reason: str
    audits: Mapping[str, AuditVerdict] = field(default_factory=dict)
    family_error: float = 0.0
    judged: int = 0
    """Number of metrics judged together."""

    @property
    def outside(self) -> dict[str, float]:
        return {name: value for audit in self.audits.values() for name, value in audit.outside.items()}


@dataclass(frozen=True)
class Court:
    """The rule for one set of oracles."""

    oracles: Sequence[Figures]
    config: AuditConfig
    names: Sequence[str]

    def band(self, name: str) -> Band | None:
        return band(name, self.oracles, self.config.margin_points, self.config.family_error / max(len(self.names), 1))

    def outside(self, model: Figures, audit: AuditName) -> dict[str, float]:
        found = {}
        for name in self.names:
            if METRICS[name].audit == audit:
                off, limit = difference(name, model, self.oracles), self.band(name)
                high, low = METRICS[name].side != "utility", METRICS[name].side not in ("distance", "damage")
                if limit and ((high and off > limit.tolerance) or (low and off < -limit.tolerance)):
                    found[name] = off
        return found


def judged_metrics(model: Figures, oracles: Sequence[Figures]) -> list[str]:
    """Metrics that model and oracles have, in the order of the table; distances between oracles need three."""
    return [
        name
        for name, metric in METRICS.items()
        if metric.judged
        and all(name in figures for figures in (model, *oracles))
        and (metric.side != "distance" or len(oracles) >= 3)
    ]


Others = Callable[[int], Sequence[Figures]]
"""Number of an oracle -> figures of the other oracles, made without a look at that one."""


def judge(
    original: Figures,
    unlearned: Figures,
    oracles: Sequence[Figures],
    config: AuditConfig,
    others: Others | None = None,
) -> Verdict:
    """The verdict on ``unlearned`` by the rule above; without ``others``, figures of the oracles as they are."""
    if not oracles:
        return Verdict("inconclusive", "no oracle was trained")
    names = judged_metrics(unlearned, oracles)
    court = Court(oracles, config, names)
    rest = others or (lambda number: [o for i, o in enumerate(oracles) if i != number])
    held_out = [(o, Court(rest(i), config, names)) for i, o in enumerate(oracles)] if len(oracles) >= 3 else []
    audits: dict[str, AuditVerdict] = {}
    for audit in dict.fromkeys(METRICS[name].audit for name in names):
        passed = sum(not other.outside(oracle, audit) for oracle, other in held_out)
        power = any(METRICS[n].side not in ("utility", "damage") for n in court.outside(original, audit))
        outside = court.outside(unlearned, audit)
        tolerances = {name: limit.tolerance for name in outside if (limit := court.band(name))}
        audits[audit] = _one(outside, tolerances, power, passed, len(held_out))
    words = [a.word for a in audits.values()]
    for word in ("under-forgotten", "over-forgotten", "indistinguishable", "inconclusive"):
        if word in words:
            said = ", ".join(name.replace("_", " ") for name, a in audits.items() if a.word == word)
            return Verdict(word, _overall(word, said, audits), audits, config.family_error, len(names))
    raise AssertionError("no audit was made")


def _one(
    outside: dict[str, float], tolerances: Mapping[str, float], power: bool, passed: int, held_out: int
) -> AuditVerdict:
    def said(word: Word, reason: str) -> AuditVerdict:
        return AuditVerdict(word, reason, outside, power, passed)

    if held_out and held_out - passed > MOST_FAILED * held_out:
        return said("inconclusive", f"{held_out - passed} of {held_out} held-out oracles fail it")
    if outside:
        named = ", ".join(f"{METRICS[n].title} {d:+.1f} (tolerance {tolerances[n]:.1f})" for n, d in outside.items())
        under = any(METRICS[n].side == "forget" and d > 0 for n, d in outside.items())
        return said("under-forgotten" if under else "over-forgotten", f"off the oracles by: {named}")
    if not power:
        return said("inconclusive", "the original passes it too: no power")
    if not held_out:
        return said("inconclusive", "no difference found, but fewer than 3 oracles are no control")
    return said("indistinguishable", "within tolerance, where the original is not")


def _overall(word: Word, said: str, audits: Mapping[str, AuditVerdict]) -> str:
    if word in ("under-forgotten", "over-forgotten"):
        return f"{said}: {'; '.join(a.reason for a in audits.values() if a.word == word)}"
    if word == "indistinguishable":
        silent = [name.replace("_", " ") for name, a in audits.items() if a.word == "inconclusive"]
        return f"{said}" + (f" (inconclusive: {', '.join(silent)})" if silent else "")
    return "; ".join(dict.fromkeys(a.reason for a in audits.values()))
