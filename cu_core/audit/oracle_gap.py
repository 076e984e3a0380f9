"""A model beside its oracles: differences, the band in which one more oracle would lie, and the gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

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
    margin: float

    @property
    def tolerance(self) -> float:
        return max(self.prediction, self.margin)


PRIOR_ORACLES = 4
"""Weight of the sampling error beside the measured spread, as so many oracles."""


def band(name: str, oracles: Sequence[Figures], margin: float, error: float) -> Band | None:
    """``error`` is the two-sided error of this one figure.

    Prediction interval of one more draw from a normal distribution: t(d) s sqrt(1 + 1/K). Three oracles say little of
    their own spread (t(2) at the error of one among twenty figures is 14), so it is moderated: s^2 is the mean of their
    variance, with weight K - 1, and of the figure's sampling variance, with weight 4; d is the sum of the weights (a
    scaled inverse chi-square prior; Smyth 2004, eq. 7 and 8, with a known prior; figures without an interval: plain t).
    Where oracles spread far more than their sampling error, the interval is too short for few of them: `cu calibrate`
    measures how often an oracle is told from the others.

    Distances between oracles contain one another: the spread of their means is (K - 2) / (K - 1) of one oracle's own,
    and is put right.

    Returns nothing where neither is known: one oracle, and a figure without an interval.
    """
    metric = METRICS[name]
    values = [metric.points(o[name]) for o in oracles]
    sampling = [v * metric.scale**2 for v in map(_sampling_variance, (o[name] for o in oracles)) if v is not None]
    prior, weight = PRIOR_ORACLES if sampling else 0, len(values) - 1
    between = metric.side == "distance"
    if between and weight < 2:
        weight = 0  # two oracles have one distance
    measured = weight * float(np.var(values, ddof=1)) if weight else 0.0
    if between and weight:
        measured *= (weight / (weight - 1)) ** 2
    if prior + weight == 0:
        return None
    spread = float(np.sqrt((measured + prior * float(np.mean(sampling or [0.0]))) / (weight + prior)))
    quantile = float(stdtrit(weight + prior, 1 - error / 2))
    return Band(quantile * spread * float(np.sqrt(1 + 1 / len(values))), spread, margin)


def _sampling_variance(figure: MetricResult) -> float | None:
    """From the 95% interval; absent without one."""
    if figure.low is None or figure.high is None:
        return None
    return ((figure.high - figure.low) / 3.92) ** 2
