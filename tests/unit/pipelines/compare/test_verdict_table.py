"""Verdicts beside the controls of their audits."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from cu_core.config_io import config_from
from pipelines.compare.table import cell_frame
from pipelines.compare.verdict_table import (
    stop_notes,
    stop_record,
    stopped_badly,
    verdict_record,
    verdict_table,
)
from pipelines.grid.cells import Failure
from tests.unit.pipelines.reports import compared, report

NONE: tuple[str, ...] = ()


def texts(part: pd.DataFrame, **expected: tuple[str, ...]) -> list[list[str]]:
    made = verdict_table("class", part, expected)
    return [made.headings, *([name, *(entry.text for entry in entries)] for name, entries in made.rows)]


@pytest.fixture
def part(tmp_path: Path) -> pd.DataFrame:
    outcomes = {
        "finetune": partial(report, word="under-forgotten", gap=0.2),
        "scrub": partial(report, stop={"fired_at": None, "kept_step": None}),
        "salun": Failure("step 3: loss is nan"),
    }
    frame = cell_frame(compared(tmp_path, "{finetune: {}, scrub: {}, salun: {}}", outcomes))
    return frame[frame["group"] == "class"]


def test_a_verdict_has_its_controls_beside_it(part: pd.DataFrame) -> None:
    head, finetune, scrub, salun = texts(part, finetune=NONE, scrub=NONE, salun=NONE)
    assert head[1:] == ["verdicts", "said by", "control: held-out oracles pass", "control: original fails"]
    # Two runs, two audits each, three oracles held out in each: 2 of 3 pass; the original fails one audit of the two.
    assert finetune == ["finetune", "2 under-forgotten", "accuracy", "8 of 12", "2 of 4"]
    assert scrub[1] == "2 over-forgotten"
    assert salun[1:] == ["", "", "none", "none"]


def test_verdicts_that_were_expected_are_counted(part: pd.DataFrame) -> None:
    head, finetune, scrub = texts(part, finetune=("under-forgotten", "inconclusive"), scrub=("indistinguishable",))
    assert head[1:4] == ["expected", "verdicts", "as expected"]
    assert finetune[1:4] == ["under-forgotten or inconclusive", "2 under-forgotten", "2 of 2"]
    assert scrub[1:4] == ["indistinguishable", "2 over-forgotten", "0 of 2"]


def test_fewer_than_three_oracles_are_no_control(tmp_path: Path) -> None:
    made = compared(tmp_path, "{finetune: {}}", {"finetune": partial(report, oracles=2)})
    assert texts(cell_frame(made), finetune=NONE)[1][3] == "none"


def test_a_record_names_the_audits_that_gave_the_verdict() -> None:
    one = report(config_from({}), word="inconclusive")  # both audits say so
    assert verdict_record(one) == {
        "verdict": "inconclusive", "said by": "accuracy, membership", "oracles held out": 6, "oracles passed": 4,
        "audits": 2, "original fails": 1,
    }  # fmt: skip
    assert verdict_record(replace(one, rows=()))["oracles held out"] == 0


@pytest.mark.parametrize(
    ("stop", "never", "nothing"),
    [
        ({"fired_at": 0, "kept_step": 0}, 0.0, 0.0),  # step 0 is a step
        ({"fired_at": None, "kept_step": 4}, 1.0, 0.0),
        ({"fired_at": 4}, 0.0, 1.0),
    ],
)
def test_a_rule_that_never_fired_and_a_state_that_was_not_kept_are_two_things(
    stop: dict[str, int | None], never: float, nothing: float
) -> None:
    config = config_from({})
    made = replace(report(config), stop=stop)
    assert stop_record(config, made) == {"rule never fired": never, "kept nothing": nothing}
    assert stop_record(config_from({"stop": {"rule": "none"}}), made) == {}


def test_the_note_counts_the_runs_of_marked_methods_only(part: pd.DataFrame) -> None:
    assert [stopped_badly(part, method) for method in ("finetune", "scrub", "salun")] == [False, True, False]
    assert stop_notes(part, ["finetune", "salun"]) == []
    told = "in 2 of 2 runs the stop rule never fired, and in 2 no state could be kept (its last weights were audited)"
    assert stop_notes(part, ["finetune", "scrub"]) == [f"‡ scrub: {told}."]
    kept = part.assign(**{"kept nothing": 0.0})
    assert stop_notes(kept, ["scrub"]) == ["‡ scrub: in 2 of 2 runs the stop rule never fired."]
