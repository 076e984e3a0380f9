"""A model beside its oracles: differences, the band in which one more oracle would lie, and the gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from cu_core.audit.table import METRICS
from cu_core.errors import UserError
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
    """Raises: UserError without an oracle; there is no default for a missing reference."""
    if not oracles:
        raise UserError("the oracle gap needs at least one oracle; set audit.oracles to 1 or more.")
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
    margin: float

    @property
    def tolerance(self) -> float:
        return max(self.prediction, self.margin)


def band(name: str, oracles: Sequence[Figures], margin: float, error: float) -> Band | None:
    """Prediction interval of one more draw from a normal distribution, t(K - 1) s sqrt(1 + 1/K), at the two-sided
    ``error`` of this one figure: exact however far oracles spread.

    s^2 is at least that of one row: figures that are counts are never known better. Absent for fewer oracles than show
    a spread.
    """
    freedom, variance = spread_of(name, oracles)
    if not freedom:
        return None
    spread = float(np.sqrt(max(variance, _one_row(name, oracles))))
    half = float(stdtrit(freedom, 1 - error / 2)) * spread * float(np.sqrt(1 + 1 / len(oracles)))
    return Band(half, spread, margin)


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


def _one_row(name: str, oracles: Sequence[Figures]) -> float:
    """Variance of a figure that changes by one row of those behind it, where it is a count: 1/12 of a step squared."""
    step = 100 / max(o[name].count for o in oracles)
    return step**2 / 12
