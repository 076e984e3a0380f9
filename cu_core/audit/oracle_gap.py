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
    """Compute the distance of a model to its oracles. There is no default for a missing reference.

    Args:
        unlearned: Figures of the audited model.
        oracles: Figures of each oracle.

    Returns:
        The difference of each metric that enters the mean, the mean, and the tug of war.

    Raises:
        UserError: There is no oracle.
    """
    if not oracles:
        raise UserError("the oracle gap needs at least one oracle; set audit.oracles to 1 or more.")
    names = [name for name, metric in METRICS.items() if metric.in_gap and name in unlearned]
    gaps = {name: difference(name, unlearned, oracles) for name in names}
    with_classes = all(name in gaps for name in TUG_OF_WAR)
    tug = float(np.prod([1 - abs(gaps[name]) / 100 for name in TUG_OF_WAR])) if with_classes else None
    return OracleGap(gaps, float(np.mean([abs(g) for g in gaps.values()])), tug)


def difference(name: str, model: Figures, oracles: Sequence[Figures]) -> float:
    """Compute the model's figure minus the mean of the oracles, in points."""
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
        """The larger of prediction interval and margin, in points."""
        return max(self.prediction, self.margin)


def band(name: str, oracles: Sequence[Figures], margin: float, error: float) -> Band | None:
    """Compute the band of one metric: the prediction interval of one more oracle, and the margin.

    The interval is that of one more draw from a normal distribution, t(K - 1) s sqrt(1 + 1/K). It is exact for any
    spread of the oracles. s^2 is at least that of one row, since the precision of a count is at most one row.

    Args:
        name: Name of the metric.
        oracles: Figures of the K oracles.
        margin: Difference that is always tolerated, in points.
        error: Two-sided error probability of this one figure.

    Returns:
        The band, or ``None`` for fewer oracles than show a spread.
    """
    freedom, variance = spread_of(name, oracles)
    if not freedom:
        return None
    spread = float(np.sqrt(max(variance, _one_row(name, oracles))))
    half = float(stdtrit(freedom, 1 - error / 2)) * spread * float(np.sqrt(1 + 1 / len(oracles)))
    return Band(half, spread, margin)


def spread_of(name: str, oracles: Sequence[Figures]) -> tuple[int, float]:
    """Return (degrees of freedom, variance in points squared) of one oracle around the mean of all.

    Figures that are measured from the other oracles are not independent. Distances to K - 1 others spread by
    (K - 2) / (K - 1) of an oracle's own spread (two oracles have one distance: no freedom). Differences from the mean
    of K - 1 others spread by K / (K - 1). Both are corrected.
    """
    values = [METRICS[name].points(o[name]) for o in oracles]
    count, side = len(values), METRICS[name].side
    if count < (3 if side in ("distance", "projection") else 2):
        return 0, 0.0
    variance = float(np.var(values, ddof=1))
    factor = {"distance": (count - 1) / max(count - 2, 1), "projection": (count - 1) / count}.get(side, 1.0)
    return count - 1, variance * factor**2


def _one_row(name: str, oracles: Sequence[Figures]) -> float:
    """Return 1/12 of a squared step: the least variance of a count, whose step is one of the rows behind it."""
    step = 100 / max(o[name].count for o in oracles)
    return step**2 / 12
