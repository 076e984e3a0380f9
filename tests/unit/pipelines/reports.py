"""Audit reports and comparisons made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cu_core.audit.oracle_gap import OracleGap
from cu_core.audit.report import AuditReport, Row
from cu_core.audit.verdict import AuditVerdict, Verdict
from cu_core.config import RunConfig
from cu_core.config_io import as_plain
from cu_core.data.requests import ForgetSet
from cu_core.types import Word
from cu_core.workspace import Workspace
from pipelines.compare.config import Comparison, Sizes, read_comparison
from pipelines.compare.run import ComparisonResult, RequestAndSeed, Result
from pipelines.grid.cells import Cell, Outcome
from pipelines.run.plan import Plan, TrainJob

SIZES = Sizes(forget=100, retain=900, forget_classes=1, classes=10)
COST = {"steps": 9, "forget_rows": 10, "retain_rows": 20, "frozen_rows": 3, "prepare_rows": 4, "stop_rows": 5,
        "seconds": 1.0, "retrain_rows": 500, "retrain_seconds": 60.0, "rows_frac": 0.1}  # fmt: skip


def report(
    config: RunConfig,
    *,
    word: Word = "over-forgotten",
    gap: float = 1.0,
    oracles: int = 3,
    passed: int = 2,
    stop: Mapping[str, Any] | None = None,
) -> AuditReport:
    """Two audits, of which the original fails one; ``passed`` held-out oracles pass each."""
    audits = {
        "accuracy": AuditVerdict(word, "", {}, original_fails=True, oracles_passed=passed),
        "membership": AuditVerdict("inconclusive", "", {}, original_fails=False, oracles_passed=passed),
    }
    names = {"forget_accuracy": "accuracy", "test_accuracy": "accuracy", "member_prediction_rate": "membership"}
    rows = tuple(
        Row(
            name,
            audit,
            name,
            90.0,
            10.0,
            None,
            None,
            (5.0,) * oracles,
            5.0,
            None,
            None,
            name != "member_prediction_rate",
        )
        for name, audit in names.items()
    )
    return AuditReport(
        kind="class", request={}, class_names=(), sizes={}, rows=rows, gap=OracleGap({}, gap, None),
        doing_nothing_gap=OracleGap({}, 40.0, None), verdict=Verdict(word, "", audits), limits=None, absent={},
        per_class={}, received={}, curves={}, cost=COST, stop=stop or {"fired_at": 8, "kept_step": 8},
        leaks=0, retain_ids_checked=0, digests={}, versions={}, settings=as_plain(config),
    )  # fmt: skip


def compared(
    folder: Path, methods: str, outcomes: Mapping[str, Any], tuning: str = "", seeds: int = 2
) -> ComparisonResult:
    """One request; ``outcomes`` holds what makes a method's outcome of its configuration, or the outcome."""
    (folder / "base.yaml").write_text("request: {kind: by_class}\n")
    path = folder / "c.yaml"
    path.write_text(
        f"base: base.yaml\nbudget_rows: 5000\nseeds: {list(range(seeds))}\n"
        f"requests: {{class: [{{kind: by_class, classes: [5]}}]}}\n{tuning}methods: {methods}\n"
    )
    comparison = read_comparison(path)
    results = [
        _result(comparison, label, seed, made, folder) for label, made in outcomes.items() for seed in range(seeds)
    ]
    return ComparisonResult(comparison, {}, results)


def _result(comparison: Comparison, label: str, seed: int, made: Any, folder: Path) -> Result:
    request = {"kind": "by_class", "classes": [5]}
    config = comparison.cell_config(label, {}, request, seed, tuning=False, sizes=SIZES)
    config = replace(config, storage=str(folder / "out"))
    job = TrainJob("original", folder, None)
    plan = Plan(Workspace(config, folder), ForgetSet.__new__(ForgetSet), job, ())
    plan.__dict__["digest"] = f"{label} {seed}"
    cell = Cell(f"{label} class 1 seed {seed}", plan)
    cell.__dict__["digest"] = f"{label}-{seed}"
    outcome: Outcome = made(config) if callable(made) else made
    return Result(label, RequestAndSeed("class", 0, request, seed, plan), cell, outcome)
