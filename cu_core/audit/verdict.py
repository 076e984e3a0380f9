"""The verdict rule: from figures to one word, with a stated error rate.

1. The request determines what is judged before any figure is seen: a few primary metrics (``Claim.judged``). All other
   metrics only describe. The tolerance of a figure is the larger of the equivalence margin and the prediction interval
   of one more oracle (``oracle_gap.band``). The primary metrics share ``family_error`` by their weights (Bonferroni): a
   further oracle fails on any metric with probability ``family_error`` at most; `cu calibrate` measures it. The audits
   of ``audit.more_audits`` share a second family error (``Claim.error_share``): with them it is twice that at most.
2. Controls: held-out oracles must pass an audit, each judged by the others without the margin (at most a fifth may
   fail). The original must fail it at a margin of ``POWER_MARGIN`` points, else the audit has no power. An audit is not
   trusted if its held-out oracles fail or if there are fewer than three oracles.
3. An audit says ``under-forgotten`` if a forget metric lies above its tolerance, or a distance whose direction
   (``Metric.towards``) is that of the original. Else it says ``over-forgotten`` if any metric lies outside (too much
   forgotten, too much damaged, or answers that no oracle gives; more useful than the oracles is no fault). Else it says
   ``indistinguishable`` if it is trusted and has power, or measures damage alone; else ``inconclusive``. An audit that
   is not trusted never says more than ``inconclusive``, but its figures outside are kept.
4. Overall: ``under-forgotten`` if an audit says so; else ``over-forgotten`` if one says so; else ``inconclusive`` if an
   audit that is not trusted has a figure outside, or if an audit of the request's own claim (``Claim.audits``) is
   missing, not trusted or without power; else ``indistinguishable``.

So neither a narrower margin nor a further audit makes a verdict milder: tolerances do not depend on which audits were
run, and trust and power do not depend on the margin. (If an audit of the claim was missing, running it completes the
evidence.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cu_core.audit.oracle_gap import Band, Figures, band, difference
from cu_core.audit.subject import POWER_MARGIN, AuditConfig, AuditName
from cu_core.audit.table import AUDITS, METRICS, Claim
from cu_core.types import Word

MOST_FAILED = 0.2
FEWEST_ORACLES = 3
"""Oracles that are a control."""


@dataclass(frozen=True)
class AuditVerdict:
    """Verdict of one audit, and whether the audit could have given another."""

    word: Word
    reason: str
    outside: Mapping[str, float]
    """Metrics beyond their tolerance and by how many points they differ from the oracles (signed)."""
    original_fails: bool
    oracles_passed: int
    """Of the oracles, each held out and judged by the others."""
    trusted: bool = True
    """Whether held-out oracles pass it."""


@dataclass(frozen=True)
class Verdict:
    """The overall word and the figures that led to it."""

    word: Word
    reason: str
    audits: Mapping[str, AuditVerdict] = field(default_factory=dict)
    family_error: float = 0.0
    judged: int = 0
    """Number of primary metrics, over which the error is shared."""

    @property
    def outside(self) -> dict[str, float]:
        """Metrics of all audits that lie beyond their tolerance, with their difference in points."""
        return {name: value for audit in self.audits.values() for name, value in audit.outside.items()}


@dataclass(frozen=True)
class Rule:
    """Tolerances for one set of oracles."""

    claim: Claim
    oracles: Sequence[Figures]
    config: AuditConfig

    def band(self, name: str, margin: float | None = None) -> Band | None:
        """Compute the tolerance of one metric, or ``None`` if an oracle lacks the metric.

        Args:
            name: Name of the metric.
            margin: Equivalence margin in points. Default: that of the configuration.

        Returns:
            The band at this metric's share of ``family_error``.
        """
        if not all(name in oracle for oracle in self.oracles):
            return None
        error = self.config.family_error * self.claim.error_share(name)
        wide = self.config.margin_points if margin is None else margin
        return band(name, self.oracles, wide, error)

    def outside(self, model: Figures, audit: AuditName, margin: float | None = None) -> dict[str, float]:
        """Return the primary metrics of one audit that lie beyond their tolerance.

        Args:
            model: Figures of the model.
            audit: Name of the audit.
            margin: Equivalence margin in points. Default: that of the configuration.

        Returns:
            Name -> signed difference from the oracles, in points.
        """
        found = {}
        for name in self.claim.judged:
            if METRICS[name].audit == audit and name in model and (limit := self.band(name, margin)):
                off = difference(name, model, self.oracles)
                side = METRICS[name].side
                too_high = side != "utility" and off > limit.tolerance
                too_low = side not in ("distance", "damage") and off < -limit.tolerance
                if too_high or too_low:
                    found[name] = off
        return found

    def measures_damage_alone(self, audit: AuditName) -> bool:
        """Return whether no primary metric of an audit could show that something was not forgotten."""
        sides = {METRICS[name].side for name in self.claim.judged if METRICS[name].audit == audit}
        return sides <= {"utility", "damage"}

    @property
    def error(self) -> float:
        """Largest probability that a new oracle fails on a primary metric."""
        further = [name for name in self.claim.judged if AUDITS[METRICS[name].audit].on_request]
        return self.config.family_error * (1 + sum(map(self.claim.error_share, further)))

    def still_known(self, model: Figures, name: str, off: float) -> bool:
        """Return whether a figure outside its tolerance shows that something was not forgotten."""
        metric = METRICS[name]
        if metric.towards is None:
            return metric.side in ("forget", "projection") and off > 0
        limit = self.band(metric.towards, margin=0.0) if metric.towards in model else None
        return limit is not None and difference(metric.towards, model, self.oracles) > limit.tolerance


Others = Callable[[int], Sequence[Figures]]
"""Number of an oracle -> figures of the other oracles, made without a look at that one."""


def judge(original: Figures, unlearned: Figures, rule: Rule, others: Others | None = None) -> Verdict:
    """Return the verdict on ``unlearned``.

    Args:
        original: Figures of the original.
        unlearned: Figures of the unlearned model.
        rule: The claim, the oracles and the configuration.
        others: Number of an oracle -> figures of the other oracles, computed without it. Default: the figures of the
            oracles are used as they are when one of them is held out.

    Returns:
        The verdict; ``inconclusive`` without an oracle.
    """
    claim, oracles = rule.claim, rule.oracles
    if not oracles:
        return Verdict("inconclusive", "no oracle was trained")
    rest = others or (lambda number: [o for i, o in enumerate(oracles) if i != number])
    held_out = [(o, replace(rule, oracles=rest(i))) for i, o in enumerate(oracles)]
    made = [name for name in claim.judged if name in unlearned]
    audits: dict[str, AuditVerdict] = {}
    for audit in dict.fromkeys(METRICS[name].audit for name in made):
        passed = sum(not other.outside(oracle, audit, margin=0.0) for oracle, other in held_out)
        audits[audit] = _one(rule, audit, original, unlearned, passed)
    word, reason = _overall(claim, audits)
    return Verdict(word, reason, audits, rule.error, len(claim.judged))


def _one(rule: Rule, audit: AuditName, original: Figures, unlearned: Figures, passed: int) -> AuditVerdict:
    outside, count = rule.outside(unlearned, audit), len(rule.oracles)
    power = any(METRICS[n].side not in ("utility", "damage") for n in rule.outside(original, audit, POWER_MARGIN))
    named = "; ".join(_named(rule, name, off) for name, off in outside.items())
    doubt = ""
    if count < FEWEST_ORACLES:
        doubt = f"at least {FEWEST_ORACLES} oracles are needed to check this audit"
    elif count - passed > MOST_FAILED * count:
        doubt = f"{count - passed} of {count} held-out oracles fail it"
    if doubt:
        more = f"; outside the tolerance: {named}" if outside else ""
        return AuditVerdict("inconclusive", doubt + more, outside, power, passed, trusted=False)
    if outside:
        under = any(rule.still_known(unlearned, name, off) for name, off in outside.items())
        word: Word = "under-forgotten" if under else "over-forgotten"
        return AuditVerdict(word, f"outside the tolerance: {named}", outside, power, passed)
    if rule.measures_damage_alone(audit):
        reason = "within the tolerance; it measures damage, which the original does not have"
        return AuditVerdict("indistinguishable", reason, outside, power, passed)
    if not power:
        return AuditVerdict("inconclusive", "no power, because the original passes too", outside, power, passed)
    return AuditVerdict("indistinguishable", "within the tolerance; the original is outside", outside, power, passed)


def _named(rule: Rule, name: str, off: float) -> str:
    limit = rule.band(name)
    assert limit is not None  # it was found outside
    return f"{METRICS[name].title} {off:+.1f} (tolerance {limit.tolerance:.1f})"


def _overall(claim: Claim, audits: Mapping[str, AuditVerdict]) -> tuple[Word, str]:
    for word in ("under-forgotten", "over-forgotten"):
        said = {name: a for name, a in audits.items() if a.word == word}
        if said:
            return word, f"{_list(said)}: {'; '.join(a.reason for a in said.values())}"
    doubted = {name: a for name, a in audits.items() if a.outside}
    if doubted:
        return "inconclusive", f"{_list(doubted)} cannot be trusted and has a figure outside: " + "; ".join(
            a.reason for a in doubted.values()
        )
    for name in claim.audits:
        if name not in audits:
            return "inconclusive", f"{_list([name])} was not run, and this request needs it"
        if audits[name].word != "indistinguishable":
            return "inconclusive", f"{_list([name])}: {audits[name].reason}"
    silent = [name for name, a in audits.items() if a.word == "inconclusive"]
    agreed = [name for name, a in audits.items() if a.word == "indistinguishable"]
    return "indistinguishable", _list(agreed) + (f" (inconclusive: {_list(silent)})" if silent else "")


def _list(names: Mapping[str, AuditVerdict] | Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)
