"""Figures that a sweep minimises: those of a finished trial, and those of a check on the stop set during a trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cu_core.audit.proxy import FORGETTING, proxy_score
from cu_core.audit.report import AuditReport
from cu_core.audit.table import METRICS
from cu_core.types import RequestKind, StepReport

PARETO = ("forgetting", "utility", "cost")
COST = ("forget_rows", "retain_rows", "frozen_rows", "prepare_rows")
ALL = 100


def objectives(name: str) -> list[str]:
    """Return the names of the figures that the searcher minimises."""
    return list(PARETO) if name == "pareto" else ["objective"]


def look(report: StepReport, kind: RequestKind) -> dict[str, float] | None:
    """Return the figures of a step at which the stop rule was checked; ``None`` for other steps.

    ``share`` is the percentage of the steps. ``early`` compares trials at the same share: the mean, in points, of the
    forgetting that is left and of the error on unseen retain rows.
    """
    values = report.values
    if "stop_forget" not in values:
        return None
    left = values["stop_forget"] - values["stop_target"]
    early = 50 * ((max(0.0, left) if kind == "class" else abs(left)) + 1 - values["stop_utility"])
    return {"share": min(ALL - 1, ALL * report.step // report.max_steps), "early": early, "objective": early}


def judge(report: AuditReport, parts: dict[str, float], objective: str) -> dict[str, float]:
    """Return the figures of a finished trial, with the one that is minimised as ``objective``.

    They are the gap (with oracles), the proxy and its parts, forgetting and utility (points), and the cost (rows).
    """
    found = {"proxy": proxy_score(parts), **{f"proxy {name}": value for name, value in parts.items()}}
    if report.gap is None:
        found["forgetting"] = float(np.mean([parts[name] for name in FORGETTING]))
        found["utility"] = parts["utility"]
    else:
        found["gap"] = report.gap.mean
        for part, sides in (("forgetting", ("forget",)), ("utility", ("utility", "damage"))):
            apart = [abs(d) for name, d in report.gap.per_metric.items() if METRICS[name].side in sides]
            found[part] = float(np.mean(apart))
    found["cost"] = float(sum(report.cost[name] for name in COST))
    if objective in METRICS:
        (row,) = [row for row in report.rows if row.name == objective]
        found[objective] = abs(row.unlearned - sum(row.oracles) / len(row.oracles))
    return found | {"objective": found.get(objective, found["forgetting"]), "finished": 1.0}


def pareto_front(rows: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of the Pareto-optimal rows. All figures are minimised."""
    points = np.asarray(rows, np.float64)
    worse = np.asarray((points[:, None] >= points[None]).all(2) & (points[:, None] > points[None]).any(2))
    return [i for i in range(len(points)) if not worse[i].any()]


def recommended(rows: Sequence[Sequence[float]]) -> int:
    """Return the point of the front that is nearest to the best value of each figure, scaled to the front's ranges."""
    front = pareto_front(rows)
    points = np.asarray(rows, np.float64)[front]
    low, high = points.min(0), points.max(0)
    scaled = (points - low) / np.where(high > low, high - low, 1)
    return front[int(np.linalg.norm(scaled, axis=1).argmin())]
