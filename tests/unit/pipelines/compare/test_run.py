"""A comparison from search to reported cells, its runs replaced by made-up reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from pipelines.compare import run as compare
from pipelines.compare.config import read_comparison
from pipelines.grid.cells import Cell, Outcome
from tests.unit.pipelines.reports import report

RATES = {"loguniform": [0.001, 0.1]}


def write(folder: Path, digits: Path) -> Path:
    base = {
        "data": {"path": str(digits)},
        "storage": str(folder / "out"),
        "model": {"name": "resnet10", "width": 4},
        "audit": {"oracles": 1},
    }
    comparison = {
        "base": "base.yaml",
        "seeds": [0, 1],
        "budget_rows": 2400,
        "requests": {"class": [{"kind": "by_class", "classes": [5]}]},
        "tuning": {
            "trials": 12,
            "seeds": [9, 10],
            "requests": [{"kind": "by_class", "classes": [7]}],
            "search": {"steps_frac": {"uniform": [0.2, 1.0], "within": [0.1, 1.0]}},
        },
        "methods": {
            "finetune": {"search": {"optimizer.lr": RATES}},
            "contrastive": {"search": {"optimizer.lr": RATES}},
            "contrastive_paper": {"set": {"preset": "paper"}, "published": True},
        },
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    (folder / "c.yaml").write_text(yaml.safe_dump(comparison))
    return folder / "c.yaml"


def test_what_a_search_found_on_tuning_seeds_is_reported_on_others(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Sequence[Cell]] = []

    def run_cells(cells: Sequence[Cell], finished: Callable[[Cell], None] = lambda cell: None) -> list[Outcome]:
        calls.append(cells)
        return [report(c.plan.config, gap=1 + abs(math.log10(c.plan.config.optimizer.lr / 0.02))) for c in cells]

    monkeypatch.setattr(compare, "run_cells", run_cells)
    comparison = read_comparison(write(tmp_path, digits))
    compare.check(comparison)
    done = compare.run_comparison(comparison)

    *searched, reported = calls
    # 12 trials of two methods, four of each at a time, each on one request and two seeds.
    assert [len(cells) for cells in searched[:3]] == [16, 16, 16]
    tuned = [cell.plan.config for cells in searched for cell in cells]
    assert {config.seed for config in tuned} == {9, 10}
    assert [config.method.name for config in tuned].count("finetune") == len(tuned) / 2
    assert {config.request.classes for config in tuned} == {(7,)}  # type: ignore[union-attr]
    assert {config.audit.report_on for config in tuned} == {"stop"}
    told = [cell.plan.config for cell in reported]
    assert {config.seed for config in told} == {0, 1}
    assert {config.request.classes for config in told} == {(5,)}  # type: ignore[union-attr]
    assert {config.audit.report_on for config in told} == {"test"}
    for label in ("finetune", "contrastive"):
        chosen = done.searches[label].best.settings
        own = {r.cell.plan.config.optimizer.lr for r in done.results if r.method == label}
        assert own == {chosen["optimizer.lr"]}
        assert abs(math.log10(chosen["optimizer.lr"] / 0.02)) < 0.3
    paper = {r.cell.plan.config.optimizer.lr for r in done.results if r.method == "contrastive_paper"}
    assert paper == {0.001}


def test_started_again_or_in_pieces_it_asks_for_the_same_cells(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = [set()]

    def run_cells(cells: Sequence[Cell], finished: Callable[[Cell], None] = lambda cell: None) -> list[Outcome]:
        asked[-1] |= {cell.digest for cell in cells}
        return [report(c.plan.config, gap=c.plan.config.optimizer.lr) for c in cells]

    monkeypatch.setattr(compare, "run_cells", run_cells)
    path = write(tmp_path, digits)
    compare.run_comparison(read_comparison(path))
    for only in (["finetune"], ["contrastive", "contrastive_paper"]):
        asked.append(set())
        compare.run_comparison(read_comparison(path, only=only))
    whole, *pieces = asked
    assert set.union(*pieces) == whole
    assert not set.intersection(*pieces)
