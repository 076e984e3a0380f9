from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from pipelines.compare.digests import settings_digest
from pipelines.compare.page import all_tables, write_files
from pipelines.compare.run import ComparisonResult
from pipelines.compare.search import Search, SearchTrial
from pipelines.compare.table import cell_frame
from pipelines.grid.cells import Failure
from tests.unit.pipelines.reports import compared, report

RATE = "search: {optimizer.lr: {loguniform: [0.001, 0.1]}}"
TUNING = (
    "tuning: {trials: 2, seeds: [9], requests: [{kind: by_class, classes: [7]}], "
    "search: {steps_frac: {uniform: [0.2, 1.0], within: [0.1, 1.0]}}}\n"
)
METHODS = (
    f"{{finetune: {{{RATE}}}, scrub: {{{RATE}}}, salun: {{{RATE}}}, "
    "scrub as published: {published: true, set: {method: {name: scrub}}}}"
)


def table(finished: ComparisonResult, title: str) -> list[list[str]]:
    (found,) = [t for t in all_tables(finished, cell_frame(finished)) if t.title == title]
    return [found.headings, *([name, *(e.text for e in entries)] for name, entries in found.rows)]


@pytest.fixture
def finished(tmp_path: Path) -> ComparisonResult:
    outcomes = {
        "finetune": partial(report, word="under-forgotten", gap=0.2),
        "scrub": partial(report, gap=1.0, stop={"fired_at": None, "kept_step": None}),
        "salun": Failure("step 3: loss is nan"),
        "scrub as published": partial(report, gap=3.0),
    }
    made = compared(tmp_path, METHODS, outcomes, TUNING)
    space = made.comparison.space("scrub")
    wider = {**space, "optimizer.lr": {"loguniform": [0.001, 1.0]}}
    trials = (
        SearchTrial({"optimizer.lr": 0.3, "steps_frac": 1.0}, 1.25, rows=4000),
        SearchTrial({"optimizer.lr": 0.9, "steps_frac": 0.5}, math.inf, failed=("step 1: loss is inf",)),
    )
    return replace(made, searches={"scrub": Search(space, wider, trials, ("optimizer.lr",))})


def test_what_is_under_forgotten_is_not_best_by_its_gap(finished: ComparisonResult) -> None:
    (found,) = [t for t in all_tables(finished, cell_frame(finished)) if t.title.startswith("class: difference")]
    rows = {name.split(" ")[0]: entries for name, entries in found.rows if name not in ("doing nothing", "oracle")}
    assert rows["finetune"][0].text.startswith("0.20")
    assert all(entry.mark == "" for entry in rows["finetune"])


def test_published_settings_have_a_table_of_their_own(finished: ComparisonResult) -> None:
    rows = table(finished, "class, as published: difference to the oracle (points)")
    assert [row[0] for row in rows[1:]] == ["doing nothing", "oracle", "scrub as published"]
    assert "scrub as published" not in [r[0] for r in table(finished, "class: difference to the oracle (points)")]
    assert table(finished, "class, as published: verdicts")[1][0] == "scrub as published"


def test_member_prediction_rate_stands_in_every_table_of_figures(finished: ComparisonResult) -> None:
    for found in all_tables(finished, cell_frame(finished)):
        if "difference" in found.title or "values" in found.title:
            assert "member prediction rate" in found.headings


def test_runs_whose_rule_never_held_are_marked_everywhere(finished: ComparisonResult, tmp_path: Path) -> None:
    write_files(finished, "cu compare c.yaml", tmp_path)
    note = "‡ scrub: in 2 of 2 runs the stop rule never fired, and in 2 no state could be kept"
    for page in ("table.md", "report.html"):
        text = (tmp_path / page).read_text()
        assert note in text
        assert "scrub ‡" in text
        assert "finetune ‡" not in text
    cells = pd.read_csv(tmp_path / "cells.csv").set_index("method")
    assert cells.loc["scrub", ["rule never fired", "kept nothing"]].to_numpy().tolist() == [[1, 1], [1, 1]]
    assert cells.loc["finetune", "rule never fired"].tolist() == [0, 0]
    record = json.loads((tmp_path / "comparison.json").read_text())
    assert [c["rule never fired"] for c in record["cells"] if c["method"] == "scrub"] == [1, 1]


def test_a_run_without_a_rule_has_no_mark(tmp_path: Path) -> None:
    never = partial(report, stop={"fired_at": None, "kept_step": None})
    made = compared(tmp_path, "{finetune: {set: {stop: {rule: none}}}}", {"finetune": never})
    assert table(made, "class: verdicts")[1][0] == "finetune"
    assert cell_frame(made)["rule never fired"].isna().all()


def test_the_search_stands_under_the_tables(finished: ComparisonResult, tmp_path: Path) -> None:
    ranges = table(finished, "Search of each method (gap)")[1][3]
    write_files(finished, "cu compare c.yaml", tmp_path)
    for page in ("table.md", "report.html"):
        text = (tmp_path / page).read_text()
        for told in (ranges, "2 trials (2 of them at random", "1 run of at most 5,000 rows", "tuning seeds 9"):
            assert told in text
        assert "steps_frac [0.1, 1.0]" in text  # a natural limit
        assert "salun class 1 seed 0: step 3: loss is nan" in text
        assert "search of scrub: 1 trial diverged (step 1: loss is inf)" in text
    trials = json.loads((tmp_path / "comparison.json").read_text())["searches"]["scrub"]["trials"]
    assert [t["value"] for t in trials] == [1.25, None]


def test_a_page_records_the_digest_of_each_methods_settings(finished: ComparisonResult, tmp_path: Path) -> None:
    write_files(finished, "cu compare c.yaml", tmp_path)
    digest = settings_digest(finished.comparison, "scrub")
    assert f"; settings {digest}" in (tmp_path / "table.md").read_text()
    assert json.loads((tmp_path / "comparison.json").read_text())["settings"]["scrub"] == digest
