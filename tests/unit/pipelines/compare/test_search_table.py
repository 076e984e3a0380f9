"""Searches as a table, as lines and as JSON."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pipelines.compare.run import ComparisonResult
from pipelines.compare.search import Search, SearchTrial
from pipelines.compare.search_table import left_out, plain, search_table, searches_as_json, settings_lines
from pipelines.grid.cells import Failure
from tests.unit.pipelines.reports import compared, report

TUNING = (
    "tuning: {trials: 2, seeds: [9, 8], requests: [{kind: by_class, classes: [7]}], "
    "search: {steps_frac: {uniform: [0.2, 1.0], within: [0.1, 1.0]}}}\n"
)
RATE = "search: {optimizer.lr: {loguniform: [0.001, 0.1]}}"
METHODS = (
    f"{{scrub: {{{RATE}, set: {{batch_norm: per_rank}}}}, salun: {{{RATE}}}, "
    "as published: {published: true, set: {method: {name: scrub}}}}"
)


@pytest.fixture
def finished(tmp_path: Path) -> ComparisonResult:
    outcomes = {"scrub": partial(report), "salun": Failure("step 3: loss is nan")}
    made = compared(tmp_path, METHODS, outcomes, TUNING, seeds=1)
    space = made.comparison.space("scrub")
    wider = {**space, "optimizer.lr": {"loguniform": [0.001, 1.0]}}
    trials = (
        SearchTrial({"optimizer.lr": 0.3, "steps_frac": 1.0}, 1.25, rows=4000),
        SearchTrial(
            {"optimizer.lr": 0.9, "steps_frac": 0.5}, math.inf, rows=500, failed=("loss is inf", "loss is nan")
        ),
        SearchTrial({"optimizer.lr": 0.8, "steps_frac": 0.5}, math.inf, failed=("loss is inf",)),
    )
    return replace(made, searches={"scrub": Search(space, wider, trials, ("optimizer.lr",))})


def row_of(finished: ComparisonResult) -> list[str]:
    made = search_table(finished)
    assert made is not None
    assert made.headings == ["method", "trials", "diverged", "ranges", "chosen", "objective", "rows searched"]
    ((label, entries),) = made.rows
    return [label, *(entry.text for entry in entries)]


def test_a_row_holds_trials_ranges_and_what_was_chosen(finished: ComparisonResult) -> None:
    ranges = "optimizer.lr 0.001 to 1 log (widened 1 time); steps_frac 0.2 to 1"
    assert row_of(finished) == ["scrub", "3", "2", ranges, "optimizer.lr=0.3 steps_frac=1.0", "1.25", "4,500"]


def test_a_best_value_that_is_still_at_an_edge_is_told_and_choices_are_listed(finished: ComparisonResult) -> None:
    space = {"optimizer.lr": {"loguniform": [0.001, 0.1]}, "stop": {"choice": [{"rule": "none"}, {"rule": "paper"}]}}
    trials = (SearchTrial({"optimizer.lr": 0.099, "stop": {"rule": "none"}}, math.inf, failed=("nan",)),)
    row = row_of(replace(finished, searches={"scrub": Search(space, space, trials)}))
    assert row[3] == "optimizer.lr 0.001 to 0.1 log, best at its high edge; stop rule=none or rule=paper"
    assert row[4:6] == ["optimizer.lr=0.099 stop.rule=none", "diverged"]


def test_the_rule_of_the_search_stands_under_it(finished: ComparisonResult) -> None:
    made = search_table(finished)
    assert made is not None
    (rule,) = made.notes
    for told in (
        "2 trials (2 of them at random, 4 drawn at a time)",
        "A trial has 2 runs of at most 5,000 rows",
        "Natural limits of ranges: steps_frac [0.1, 1.0].",
        "requests kind=by_class classes=[7] and the tuning seeds 9, 8 are not reported",
        "All searches together forwarded 4,500 rows",
    ):
        assert told in rule
    tuning = finished.comparison.config.tuning
    assert tuning is not None
    for trials, at_once, at_random in ((40, 4, 12), (40, 5, 10), (11, 4, 11)):  # whole batches, from 10 on
        config = replace(finished.comparison.config, tuning=replace(tuning, trials=trials, at_once=at_once))
        other = search_table(replace(finished, comparison=replace(finished.comparison, config=config)))
        assert other is not None
        assert f"{trials} trials ({at_random} of them at random" in other.notes[0]


def test_without_a_search_there_is_no_table(finished: ComparisonResult) -> None:
    assert search_table(replace(finished, searches={})) is None


def test_every_method_says_where_its_settings_are_from(finished: ComparisonResult) -> None:
    scrub, salun, published = (line.rpartition("; settings ")[0] for line in settings_lines(finished))
    assert scrub == "scrub: set batch_norm=per_rank; found optimizer.lr=0.3 steps_frac=1.0"
    assert salun == "salun: default settings; no search"
    assert published == "as published: set method.name=scrub; as published"


def test_what_diverged_is_listed_with_each_reason_once(finished: ComparisonResult) -> None:
    assert left_out(finished) == [
        "salun class 1 seed 0: step 3: loss is nan",
        "search of scrub: 2 trials diverged (loss is inf; loss is nan)",
    ]


def test_json_has_no_infinity(finished: ComparisonResult) -> None:
    found = searches_as_json(finished)["scrub"]
    assert [trial["value"] for trial in found["trials"]] == [1.25, None, None]
    assert (found["widened"], found["chosen"]) == (["optimizer.lr"], {"optimizer.lr": 0.3, "steps_frac": 1.0})
    assert found["start"]["optimizer.lr"] == {"loguniform": [0.001, 0.1]}
    assert found["ranges"]["optimizer.lr"] == {"loguniform": [0.001, 1.0]}


def test_settings_are_written_as_they_are_typed() -> None:
    assert plain({"stop": {"rule": "none"}, "optimizer.lr": 0.1}) == "stop.rule=none optimizer.lr=0.1"
    assert (plain(0.5), plain({})) == ("0.5", "")
