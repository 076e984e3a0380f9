"""Cost and result of the searches: trials, ranges, chosen settings, rows, and runs that were left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipelines.compare.competitors import SearchConfig
from pipelines.compare.digests import settings_digest
from pipelines.compare.result_table import Entry, ResultTable
from pipelines.compare.run import ComparisonResult
from pipelines.compare.search import STARTUP, Search
from pipelines.console import counted
from pipelines.grid.cells import Failure
from pipelines.grid.ranges import EDGE_FRAC, WITHIN, kind_of, values_of

HEADINGS = ["method", "trials", "diverged", "ranges", "chosen", "objective", "rows searched"]


def search_table(finished: ComparisonResult) -> ResultTable | None:
    """Make a table with a row per searched method. ``None`` without a search."""
    tuning = finished.comparison.config.tuning
    if tuning is None or not finished.searches:
        return None
    rows = []
    for label, found in finished.searches.items():
        diverged = sum(bool(t.failed) for t in found.trials)
        texts = [
            str(len(found.trials)),
            str(diverged),
            "; ".join(_range(found, key) for key in found.space),
            plain(found.best.settings),
            "diverged" if math.isinf(found.best.value) else f"{found.best.value:.2f}",
            f"{sum(t.rows for t in found.trials):,.0f}",
        ]
        rows.append((label, [Entry(text) for text in texts]))
    return ResultTable(
        f"Search of each method ({tuning.objective})", HEADINGS, rows, 0, notes=[_rule(finished, tuning)]
    )


def _range(found: Search, key: str) -> str:
    """Describe the last range of a setting, and how often it was widened."""
    drawn, times = found.space[key], found.widenings.count(key)
    if "choice" in drawn:
        return f"{key} {' or '.join(plain(v) for v in drawn['choice'])}"
    low, high = values_of(drawn)
    scale = " log" if kind_of(drawn) == "loguniform" else ""
    left = f", best at its {found.edges[key]} edge" if key in found.edges else ""
    return f"{key} {low:g} to {high:g}{scale}{' (widened ' + counted(times, 'time') + ')' if times else ''}{left}"


def _rule(finished: ComparisonResult, tuning: SearchConfig) -> str:
    """Describe the search and its cost."""
    at_random = min(math.ceil(STARTUP / tuning.at_once) * tuning.at_once, tuning.trials)
    found, runs = finished.searches.values(), len(tuning.requests) * len(tuning.seeds)
    spent = sum(t.rows for search in found for t in search.trials)
    limits = {f"{key} {drawn[WITHIN]}": None for s in found for key, drawn in s.space.items() if WITHIN in drawn}
    return (
        f"TPE, the same for every method: {tuning.trials} trials ({at_random} of them at random, "
        f"{tuning.at_once} drawn at a time). A trial has {counted(runs, 'run')} of at most "
        f"{finished.comparison.config.budget_rows:,} rows. The objective is the mean {tuning.objective} on the stop "
        f"set. If the best value is within {100 * EDGE_FRAC:.0f}% of the width from a bound, the range becomes "
        f"{tuning.widen:g} times as wide on that side, and {tuning.more_trials} more trials follow, at most "
        f"{tuning.widenings} times. Natural limits of ranges: {'; '.join(limits) or 'none'}. The tuning "
        f"requests {'; '.join(plain(r) for r in tuning.requests)} and the tuning seeds "
        f"{', '.join(map(str, tuning.seeds))} are not reported. All searches together forwarded {spent:,.0f} rows, "
        f"without diverged runs and stop checks."
    )


def settings_lines(finished: ComparisonResult) -> list[str]:
    """List the settings of each method, and the digest of its settings before the search."""
    lines = []
    for label, competitor in finished.comparison.config.methods.items():
        given = f"set {plain(competitor.set)}" if competitor.set else "default settings"
        found = "; as published" if competitor.published else "; no search"
        if label in finished.searches:
            found = f"; found {plain(finished.chosen(label))}"
        lines.append(f"{label}: {given}{found}; settings {settings_digest(finished.comparison, label)}")
    return lines


def plain(settings: object, prefix: str = "") -> str:
    """Format settings as in ``optimizer.lr=0.1 stop.rule=none``."""
    if not isinstance(settings, Mapping):
        return f"{prefix.removesuffix('.')}={settings}" if prefix else str(settings)
    return " ".join(plain(value, f"{prefix}{key}.") for key, value in settings.items())


def left_out(finished: ComparisonResult) -> list[str]:
    """List cells without figures and trials that diverged, with reasons."""
    lines = [f"{r.cell.label}: {r.outcome.reason}" for r in finished.results if isinstance(r.outcome, Failure)]
    for label, found in finished.searches.items():
        failed = [t for t in found.trials if t.failed]
        if failed:
            reasons = "; ".join(dict.fromkeys(reason for t in failed for reason in t.failed))
            lines.append(f"search of {label}: {counted(len(failed), 'trial')} diverged ({reasons})")
    return lines


def searches_as_json(finished: ComparisonResult) -> dict[str, Any]:
    """Return every trial for the JSON file. An infinite objective is null."""
    return {
        label: {
            "start": found.start,
            "ranges": found.space,
            "widened": list(found.widenings),
            "chosen": found.best.settings,
            "trials": [asdict(t) | {"value": None if math.isinf(t.value) else t.value} for t in found.trials],
        }
        for label, found in finished.searches.items()
    }
