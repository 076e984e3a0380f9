"""A model beside its oracles: differences, the band in which one more oracle would lie, and the gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from cu_core.audit.spread import Prior, Spread
from cu_core.audit.table import METRICS
from cu_core.types import MetricResult

Figures = Mapping[str, MetricResult]
TUG_OF_WAR = ("forget_accuracy", "retain_accuracy", "test_accuracy")


@dataclass(frozen=True)
class OracleGap:
    """Distance to the mean of the oracles, in points."""

    per_metric: dict[str, float]
    """Signed: unlearned - oracle, for the metrics that enter the mean."""
    mean: float
    """Mean of the absolute values."""
    tug_of_war: float | None
    """Product of 1 - |difference| over forget, retain and test accuracy, 0 to 1 (Zhao et al. 2024, eq. 1); absent for
    pairs without classes."""


def oracle_gap(unlearned: Figures, oracles: Sequence[Figures]) -> OracleGap:
    """Raises: ValueError without an oracle; there is no default for a missing reference."""
    if not oracles:
        raise ValueError("the oracle gap needs at least one oracle; set audit.oracles to 1 or more.")
    names = [name for name, metric in METRICS.items() if metric.in_gap and name in unlearned]
    gaps = {name: difference(name, unlearned, oracles) for name in names}
    with_classes = all(name in gaps for name in TUG_OF_WAR)
    tug = float(np.prod([1 - abs(gaps[name]) / 100 for name in TUG_OF_WAR])) if with_classes else None
    return OracleGap(gaps, float(np.mean([abs(g) for g in gaps.values()])), tug)


def difference(name: str, model: Figures, oracles: Sequence[Figures]) -> float:
    """Model minus mean of the oracles, in points."""
    metric = METRICS[name]
    return metric.points(model[name]) - float(np.mean([metric.points(o[name]) for o in oracles]))


@dataclass(frozen=True)
class Band:
    """How far from the mean of the oracles a figure may lie, in points."""

    prediction: float
    """Half width of the prediction interval of one more oracle."""
    spread: float
    """Standard deviation between oracles behind it."""
    freedom: float
    """Degrees of freedom behind the spread."""
    margin: float

    @property
    def tolerance(self) -> float:
        return max(self.prediction, self.margin)


def band(name: str, oracles: Sequence[Figures], margin: float, error: float, prior: Prior | None = None) -> Band | None:
    """Prediction interval of one more draw from a normal distribution, t(d) s sqrt(1 + 1/K), at the two-sided ``error``
    of this one figure.

    The oracles alone give s with d = K - 1 degrees of freedom. ``prior`` is what other requests have shown of the
    spread: its variance enters with its degrees of freedom (a scaled inverse chi-square prior: Smyth 2004, eq. 7, 8).
    s^2 is at least that of one row: figures that are counts are never known better.

    Absent where nothing is known of the spread: one oracle without a prior.
    """
    freedom, variance = spread_of(name, oracles)
    d0, v0 = (prior.freedom, prior.variance) if prior else (0.0, 0.0)
    if freedom + d0 == 0:
        return None
    moderated = (freedom * variance + d0 * v0) / (freedom + d0)
    spread = float(np.sqrt(max(moderated, _one_row(name, oracles))))
    half = float(stdtrit(freedom + d0, 1 - error / 2)) * spread * float(np.sqrt(1 + 1 / len(oracles)))
    return Band(half, spread, freedom + d0, margin)


def spread_of(name: str, oracles: Sequence[Figures]) -> tuple[int, float]:
    """(degrees of freedom, variance in points squared) of one oracle around the mean of all.

    Figures that are measured from the other oracles contain one another. Distances to K - 1 others spread by
    (K - 2) / (K - 1) of an oracle's own spread (two oracles have one distance: no freedom), differences from the mean
    of K - 1 others by K / (K - 1); both are put right.
    """
    values = [METRICS[name].points(o[name]) for o in oracles]
    count, side = len(values), METRICS[name].side
    if count < (3 if side in ("distance", "projection") else 2):
        return 0, 0.0
    variance = float(np.var(values, ddof=1))
    factor = {"distance": (count - 1) / max(count - 2, 1), "projection": (count - 1) / count}.get(side, 1.0)
    return count - 1, variance * factor**2


def spreads_of(names: Sequence[str], oracles: Sequence[Figures]) -> dict[str, Spread]:
    """Of metrics that all oracles have; parts of one metric for single classes count as one: the mean variance."""
    found: dict[str, list[tuple[int, float]]] = {}
    for name in names:
        if all(name in oracle for oracle in oracles):
            found.setdefault(name.partition("/")[0], []).append(spread_of(name, oracles))
    return {n: Spread(parts[0][0], float(np.mean([v for _, v in parts]))) for n, parts in found.items() if parts[0][0]}


def _one_row(name: str, oracles: Sequence[Figures]) -> float:
    """Variance of a figure that changes by one row of those behind it, where it is a count: 1/12 of a step squared."""
    step = 100 / max(o[name].count for o in oracles)
    return step**2 / 12
