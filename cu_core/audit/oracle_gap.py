"""A model beside its oracles: differences, the band in which one more oracle would lie, and the gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

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
    tug_of_war: float
    """Product of 1 - |difference| over forget, retain and test accuracy, 0 to 1 (Zhao et al. 2024, eq. 1)."""


def oracle_gap(unlearned: Figures, oracles: Sequence[Figures]) -> OracleGap:
    """Raises: ValueError without an oracle; there is no default for a missing reference."""
    if not oracles:
        raise ValueError("the oracle gap needs at least one oracle; set audit.oracles to 1 or more.")
    names = [name for name, metric in METRICS.items() if metric.in_gap and name in unlearned]
    gaps = {name: difference(name, unlearned, oracles) for name in names}
    tug = float(np.prod([1 - abs(gaps[name]) / 100 for name in TUG_OF_WAR]))
    return OracleGap(gaps, float(np.mean([abs(g) for g in gaps.values()])), tug)


def difference(name: str, model: Figures, oracles: Sequence[Figures]) -> float:
    """Model minus mean of the oracles, in points."""
    metric = METRICS[name]
    return metric.points(model[name]) - float(np.mean([metric.points(o[name]) for o in oracles]))


@dataclass(frozen=True)
class Band:
    """How far from the mean of the oracles a figure may lie, in points."""

    prediction: float | None
    """Half width of the prediction interval of one more oracle; absent where the spread of oracles is not known."""
    sampling: float
    """Sampling error of the figure at the same level."""
    margin: float

    @property
    def tolerance(self) -> float:
        return max(self.prediction or 0.0, self.sampling, self.margin)


def band(name: str, oracles: Sequence[Figures], margin: float, error: float) -> Band:
    """``error`` is the two-sided error of this one figure. Prediction interval of one more draw from a normal
    distribution of unknown mean and variance: t(K-1) sd sqrt(1 + 1/K), for K >= 2 oracles."""
    metric = METRICS[name]
    values = [metric.points(o[name]) for o in oracles]
    prediction = None
    if len(values) >= 2:
        quantile = float(student_t.ppf(1 - error / 2, len(values) - 1))
        prediction = quantile * float(np.std(values, ddof=1)) * float(np.sqrt(1 + 1 / len(values)))
    halves = [
        metric.scale * (o[name].high - o[name].low) / 2  # type: ignore[operator]
        for o in oracles
        if o[name].high is not None
    ]
    wider = float(norm.ppf(1 - error / 2) / norm.ppf(0.975))
    return Band(prediction, wider * max(halves, default=0.0), margin)
