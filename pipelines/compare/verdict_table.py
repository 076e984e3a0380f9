"""Verdicts of each method, with the controls of the audits, and notes on the stop rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cu_core.audit.report import AuditReport
from cu_core.config import RunConfig
from pipelines.compare.result_table import Entry, ResultTable
from pipelines.console import counted

NEVER_FIRED, NOTHING_KEPT = "rule never fired", "kept nothing"
HELD_OUT = 3
"""Smallest number of oracles with which one can be held out and judged by the others."""
MARK = "‡"


def verdict_record(report: AuditReport) -> dict[str, Any]:
    """Return the columns of a cell: the verdict, the audits that gave it, and the controls of all its audits."""
    verdict = report.verdict
    said = [name for name, audit in verdict.audits.items() if audit.word == verdict.word]
    oracles = max((len(row.oracles) for row in report.rows), default=0)
    held_out = oracles * len(verdict.audits) if oracles >= HELD_OUT else 0
    return {
        "verdict": verdict.word,
        "said by": ", ".join(said),
        "oracles held out": held_out,
        "oracles passed": sum(a.oracles_passed for a in verdict.audits.values()) if held_out else 0,
        "audits": len(verdict.audits),
        "original fails": sum(a.original_fails for a in verdict.audits.values()),
    }


def stop_record(config: RunConfig, report: AuditReport) -> dict[str, Any]:
    """Return 1 if the stop rule never fired, and 1 if no state could be kept. Empty without a stop rule."""
    if config.stop.rule == "none":
        return {}
    stop = report.stop
    return {
        NEVER_FIRED: float(stop.get("fired_at") is None),
        NOTHING_KEPT: float(stop.get("kept_step") is None),
    }


def stopped_badly(part: pd.DataFrame, method: str) -> bool:
    rows = part[part["method"] == method]
    return bool(rows[NEVER_FIRED].sum() or rows[NOTHING_KEPT].sum())


def stop_notes(part: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """Return a footnote for the methods with a mark."""
    told = []
    for method in methods:
        rows = part[part["method"] == method]
        never, nothing = int(rows[NEVER_FIRED].sum()), int(rows[NOTHING_KEPT].sum())
        if never or nothing:
            kept = f", and in {nothing} no state could be kept (its last weights were audited)" if nothing else ""
            told.append(f"{method}: in {never} of {counted(len(rows), 'run')} the stop rule never fired{kept}")
    return [f"{MARK} {'; '.join(told)}."] if told else []


def verdict_table(title: str, part: pd.DataFrame, expected: Mapping[str, Sequence[str]]) -> ResultTable:
    """Make the table of verdicts, with the audits that gave them and the controls of these audits.

    If verdicts are expected, the table also shows them.
    """
    expecting = any(expected.values())
    rows = []
    for method, words in expected.items():
        runs = part[part["method"] == method]
        got = ", ".join(f"{n} {word}" for word, n in runs["verdict"].value_counts().items())
        names = dict.fromkeys(n for said in runs["said by"].dropna() for n in said.split(", ") if n)
        right = [" or ".join(words), f"{int(runs['verdict'].isin(words).sum())} of {len(runs)}"]
        controls = [_share(runs, "oracles passed", "oracles held out"), _share(runs, "original fails", "audits")]
        texts = [right[0], got, right[1]] if expecting else [got]
        rows.append((method, [Entry(text) for text in (*texts, ", ".join(names).replace("_", " "), *controls)]))
    asked = ["expected", "verdicts", "as expected"] if expecting else ["verdicts"]
    headings = ["method", *asked, "said by", "control: held-out oracles pass", "control: original fails"]
    return ResultTable(f"{title}: verdicts", headings, rows, 0)


def _share(runs: pd.DataFrame, count: str, of: str) -> str:
    """Format a count over all audits of all runs, as in ``12 of 15``."""
    total = runs[of].sum()
    return f"{runs[count].sum():.0f} of {total:.0f}" if total else "none"
