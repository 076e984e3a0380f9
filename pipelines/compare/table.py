"""Tables of finished cells, per group of requests: mean and spread over requests and seeds, with marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cu_core.audit.report import AuditReport
from cu_core.audit.table import METRICS
from pipelines.compare.competitors import CONTROLS
from pipelines.compare.result_table import Entry, ResultTable
from pipelines.compare.run import ComparisonResult, Result
from pipelines.compare.search import rows_forwarded
from pipelines.compare.verdict_table import (
    MARK,
    NEVER_FIRED,
    NOTHING_KEPT,
    stop_notes,
    stop_record,
    stopped_badly,
    verdict_record,
    verdict_table,
)
from pipelines.grid.cells import Failure

NOTHING, ORACLE = CONTROLS
FURTHER = ("member_prediction_rate", "probe_accuracy", "relearn_50_steps", "rebound_accuracy")
"""Metrics that are shown in addition to those of the gap and of the verdict."""
COST = ("steps", "rows", "stop rows", "seconds")
NEEDED = ("group", "method", "control", "request", "seed", "gap")
VERDICT = ("verdict", "said by", "oracles held out", "oracles passed", "audits", "original fails")


def cell_frame(finished: ComparisonResult) -> pd.DataFrame:
    """Make a table with a row per cell, and for doing nothing and the oracle at each request and seed.

    Columns are ``gap``, ``METRIC`` (value in points), ``METRIC - oracle`` (difference) and the cost. Cells that
    diverged have no figures.
    """
    records = [_record(r) for r in finished.results]
    seen: dict[tuple[str, int, int], AuditReport] = {}
    for r in finished.results:
        if isinstance(r.outcome, AuditReport):
            seen.setdefault((r.place.group, r.place.number, r.place.seed), r.outcome)
    for (group, number, seed), report in seen.items():
        key = {"group": group, "request": number + 1, "seed": seed}
        others = [r for (g, n, s), r in seen.items() if (g, n) == (group, number) and s != seed]
        records += [key | _nothing(report), key | _oracle(report, others)]
    return pd.DataFrame.from_records(records).reindex(columns=_columns(records))


def _columns(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the columns of all records, and the columns that tables need."""
    return list(dict.fromkeys([*NEEDED, *(k for r in records for k in r), *COST, *VERDICT, NEVER_FIRED, NOTHING_KEPT]))


def _record(result: Result) -> dict[str, Any]:
    place, outcome = result.place, result.outcome
    method = result.cell.plan.config.method
    key = {"group": place.group, "method": result.method, "request": place.number + 1, "seed": place.seed}
    key["control"] = method.control
    if isinstance(outcome, Failure):
        return key | {"failed": outcome.reason}
    assert outcome.gap is not None
    cost = outcome.cost
    figures = {row.name: row.unlearned for row in outcome.rows} | {
        f"{r.name} - oracle": r.difference for r in outcome.rows
    }
    rows = rows_forwarded(outcome)
    spent = {"steps": cost["steps"], "rows": rows, "stop rows": cost["stop_rows"], "seconds": cost["seconds"]}
    said = verdict_record(outcome) | stop_record(result.cell.plan.config, outcome)
    return key | {"gap": outcome.gap.mean} | figures | spent | said


def _nothing(report: AuditReport) -> dict[str, Any]:
    assert report.doing_nothing_gap is not None
    values = {row.name: row.original for row in report.rows}
    differences = {f"{r.name} - oracle": r.original - float(np.mean(r.oracles)) for r in report.rows if r.oracles}
    return (
        {"method": NOTHING, "control": True, "gap": report.doing_nothing_gap.mean}
        | values
        | differences
        | dict.fromkeys(COST, 0.0)
    )


def _oracle(report: AuditReport, others: Sequence[AuditReport]) -> dict[str, Any]:
    """Compare one retrained model with others, as a perfect method would score.

    The first oracle is compared with the other oracles if there are several, otherwise with those of the other seeds
    (of other rows, if the request is drawn).
    """
    several = len(report.rows[0].oracles) > 1
    values = {row.name: row.oracles[0] for row in report.rows if row.oracles}
    cost = {"rows": report.cost["retrain_rows"], "seconds": report.cost["retrain_seconds"]}
    if not others and not several:
        return {"method": ORACLE, "control": True} | values | cost
    told = {row.name: row.oracles[1:] if several else _of_all(others, row.name) for row in report.rows}
    differences = {f"{name} - oracle": value - float(np.mean(told[name])) for name, value in values.items()}
    gap = float(np.mean([abs(differences[f"{row.name} - oracle"]) for row in report.rows if row.in_gap]))
    return {"method": ORACLE, "control": True, "gap": gap} | values | differences | cost


def _of_all(reports: Sequence[AuditReport], metric: str) -> list[float]:
    return [value for report in reports for row in report.rows if row.name == metric for value in row.oracles]


def tables(finished: ComparisonResult, frame: pd.DataFrame) -> list[ResultTable]:
    """Make the tables of verdicts, of differences to the oracle, and of values, for every group of requests.

    Published settings have tables of their own.
    """
    methods = finished.comparison.config.methods
    kinds = {r.outcome.kind for r in finished.results if isinstance(r.outcome, AuditReport)}
    metrics = [n for n, m in METRICS.items() if m.in_gap or kinds & {*m.judged} or n in FURTHER]
    made = []
    for group in finished.comparison.config.requests:
        part = frame[frame["group"] == group]
        for published in (False, True):
            labels = [label for label, c in methods.items() if c.published is published]
            if labels:
                title = f"{group}, as published" if published else group
                own = part[part["method"].isin([*CONTROLS, *labels])]
                made += [verdict_table(title, own, {label: methods[label].expect for label in labels})]
                made += _figures(title, own, [n for n in metrics if n in own and own[n].notna().any()])
    return made


def _figures(title: str, part: pd.DataFrame, shown: Sequence[str]) -> list[ResultTable]:
    """Make the tables of differences and values of the metrics ``shown``."""
    order = _order(part)
    controls = part.loc[part["control"], "method"].nunique()
    differences = ["gap", *(f"{n} - oracle" for n in shown)]
    headings = ["method", "gap", *(_short(n) for n in shown), *COST]
    marks = {column: _marks(part, column) for column in differences}
    rows = [
        (
            _name(part, m),
            [_entry(part, m, c, marks[c].get(m, ""), sign=c != "gap") for c in differences] + _cost(part, m),
        )
        for m in order
    ]
    notes = stop_notes(part, order)
    values = [(_name(part, m), [_entry(part, m, n, "", sign=False) for n in shown]) for m in order]
    names = ["method", *(_short(n) for n in shown)]
    return [
        ResultTable(f"{title}: difference to the oracle (points)", headings, rows, controls, _warnings(part), notes),
        ResultTable(f"{title}: values (% or x100)", names, values, controls, notes=notes, brief=False),
    ]


def _order(part: pd.DataFrame) -> list[str]:
    """Return the order of the rows: controls, then methods by gap, then methods with diverged runs."""
    runs = part[~part["control"]].groupby("method")["gap"]
    means = runs.mean().to_frame().assign(diverged=runs.apply(lambda gaps: bool(gaps.isna().any())))
    there = [m for m in dict.fromkeys([*CONTROLS, *part.loc[part["control"], "method"]]) if (part["method"] == m).any()]
    return there + list(means.sort_values(["diverged", "gap"], na_position="last").index)


def _short(metric: str) -> str:
    return metric.removesuffix("_accuracy").replace("_", " ")


def _name(part: pd.DataFrame, method: str) -> str:
    rows = part[part["method"] == method]
    failed = int(rows["failed"].notna().sum()) if "failed" in rows else 0
    name = f"{method} ({failed} of {len(rows)} diverged)" if failed else method
    return f"{name} {MARK}" if stopped_badly(part, method) else name


def _entry(part: pd.DataFrame, method: str, column: str, mark: str, *, sign: bool) -> Entry:
    values = part.loc[part["method"] == method, column].dropna()
    if values.empty:
        return Entry("")
    digits = 2 if column == "gap" else 1
    mean = float(values.mean()) + 0.0
    text = f"{mean:+.{digits}f}" if sign else f"{mean:.{digits}f}"
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return Entry(text + spread, mark)  # type: ignore[arg-type]


def _cost(part: pd.DataFrame, method: str) -> list[Entry]:
    rows = part[part["method"] == method]
    digits = {"seconds": 1}
    return [Entry("" if rows[c].isna().all() else f"{rows[c].mean():,.{digits.get(c, 0)}f}") for c in COST]


def _marks(part: pd.DataFrame, column: str) -> dict[str, str]:
    """Mark the method with the smallest mean distance, and its ties.

    A method is a tie if its mean distance is larger by at most the standard deviation of the difference, paired over
    requests and seeds. Methods with an under-forgotten run are never marked: a small distance in one figure does not
    outweigh the audits.
    """
    found = set(part.loc[part["verdict"] == "under-forgotten", "method"])
    methods = part[~part["control"] & ~part["method"].isin(found)]
    wide = (
        methods.assign(d=methods[column].abs())
        .pivot(index=["request", "seed"], columns="method", values="d")
        .dropna(axis=1)
    )
    if wide.empty or wide.shape[1] < 2:
        return {}
    best = str(wide.mean().idxmin())
    marks = {best: "best"}
    for method in wide.columns.drop(best):
        worse = wide[method] - wide[best]
        if (len(worse) > 1 and worse.mean() <= worse.std(ddof=1)) or worse.abs().max() == 0:
            marks[str(method)] = "tie"
    return marks


def _warnings(part: pd.DataFrame) -> list[str]:
    gaps = part.pivot(index=["request", "seed"], columns="method", values="gap").reindex(columns=list(CONTROLS))
    farther = (gaps[NOTHING] - gaps[ORACLE]).dropna().groupby("request")
    if part["gap"].isna().all():
        return ["No run finished: there is nothing to compare."]
    if farther.ngroups == 0 or farther.size().max() < 2:
        return ["One seed: how far runs differ between seeds is not known, so differences are only an indication."]
    spread = float(np.sqrt(farther.var(ddof=1).mean()))  # over the seeds of a request, not between requests
    if farther.mean().mean() > spread:
        return []
    nothing, oracle = gaps[NOTHING].mean(), gaps[ORACLE].mean()
    return [
        f"Doing nothing (gap {nothing:.2f}) is within the spread of the oracle ({oracle:.2f}): the model has nothing "
        f"to forget here, and methods cannot be ranked on it."
    ]
