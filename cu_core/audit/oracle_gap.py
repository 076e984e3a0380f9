"""The unlearned model beside its oracles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from cu_core.audit.table import METRICS
from cu_core.types import MetricResult

Figures = Mapping[str, MetricResult]


@dataclass(frozen=True)
class OracleGap:
    """Distance to the mean of the oracles, in points."""

    per_metric: dict[str, float]
    """Signed: unlearned - oracle, for the metrics that enter the mean."""
    mean: float
    """Mean of the absolute values."""


def oracle_gap(unlearned: Figures, oracles: Sequence[Figures]) -> OracleGap:
    """Raises: ValueError without an oracle; there is no default for a missing reference."""
    if not oracles:
        raise ValueError("the oracle gap needs at least one oracle; set audit.oracles to 1 or more.")
    names = [name for name, metric in METRICS.items() if metric.in_gap and name in unlearned]
    gaps = {name: difference(name, unlearned, oracles) for name in names}
    return OracleGap(gaps, float(np.mean([abs(g) for g in gaps.values()])))


def difference(name: str, unlearned: Figures, oracles: Sequence[Figures]) -> float:
    """Unlearned minus mean of the oracles, in points."""
    metric = METRICS[name]
    return metric.points(unlearned[name]) - float(np.mean([metric.points(o[name]) for o in oracles]))


def tolerance(name: str, oracles: Sequence[Figures], margin_points: float) -> float:
    """Largest difference that still counts as none, in points: the stated margin, the 95% prediction interval of one
    more oracle (t(K-1) sd sqrt(1 + 1/K), for K >= 2), or the 95% sampling error of the figure, whichever is largest."""
    metric = METRICS[name]
    values = [metric.points(o[name]) for o in oracles]
    spread = 0.0
    if len(values) >= 2:
        quantile = float(student_t.ppf(0.975, len(values) - 1))
        spread = quantile * float(np.std(values, ddof=1)) * float(np.sqrt(1 + 1 / len(values)))
    intervals = [(o[name].high, o[name].low) for o in oracles]
    sampling = (
        metric.scale * max((high - low) / 2 for high, low in intervals if high is not None and low is not None)
        if all(high is not None for high, _ in intervals)
        else 0.0
    )
    return max(margin_points, spread, sampling)
