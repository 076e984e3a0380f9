from __future__ import annotations

import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines.requests.intake import add_request
from pipelines.requests.listing import asked_lines, drift_table, list_table, show_lines, status_lines
from pipelines.requests.policy import Policy
from tests.unit.pipelines.requests.answered import now, opened, start
from tests.unit.pipelines.requests.conftest import Answered

TODAY = datetime.date(2026, 11, 28)


def text(table: Table, width: int = 200) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    return console.export_text()


def test_requests_are_listed_with_their_states(answered: Answered) -> None:
    add_request(answered.places, {"kind": "by_class", "classes": [6]}, due="2026-11-27")
    add_request(answered.places, {"kind": "by_class", "classes": [7]}, due="2026-11-28")
    shown = text(list_table(answered.store, None, TODAY))
    assert "faces-1" in shown
    assert "2026-11-27 OVERDUE" in shown
    assert "2026-11-28 OVERDUE" not in shown
    assert shown.count("pending") == 2


def test_one_request_is_shown_with_its_entries(answered: Answered) -> None:
    state = now(answered.places)
    lines = "\n".join(show_lines(state, "faces-2"))
    assert "faces-2: done (version of entry 7)" in lines
    assert state.versions[-1].weights in lines
    assert "over-forgotten" in lines


def test_the_versions_show_how_far_the_chain_has_drifted(answered: Answered) -> None:
    shown = text(drift_table(now(answered.places)))
    assert shown.index("original") < shown.index("faces-run-3") < shown.index("faces-run-6")
    assert "1.00" in shown  # the gap
    assert "10.00" in shown  # the test accuracy


def test_the_versions_fit_a_narrow_terminal(answered: Answered) -> None:
    shown = text(drift_table(now(answered.places)), 80)
    assert "…" not in shown
    assert "proxy" not in shown  # no version has one
    for whole in ("faces-run-3", "faces-run-6", "faces-1", "faces-2", "over-forgotten"):
        assert whole in shown


def test_status_says_what_is_current_and_due(answered: Answered) -> None:
    state = now(answered.places)
    lines = status_lines(answered.places, state, None, TODAY)
    assert lines[0] == f"faces: current is {state.versions[-1].folder}"
    assert lines[-1] == "retained model: no policy".replace("retained", "retrained") + (
        " says when one is due (--retrain-when FILE)"
    )
    due = status_lines(answered.places, state, Policy(batches=2), TODAY)[-1]
    assert due == "retrained model: DUE: batches answered: 2 (bound 2)"
    assert status_lines(answered.places, state, Policy(batches=3), TODAY)[-1] == "retrained model: not due"


def test_status_before_and_during_a_run(tmp_path: Path, digits: Path) -> None:
    places = opened(tmp_path, digits, Policy(batches=1))
    lines = status_lines(places, now(places), None, TODAY)
    assert lines == [
        "faces: current is the original", f"original: {now(places).opened.fields['original']}", "pending: none",
        "retrained model: not due, nothing is forgotten yet",
    ]  # fmt: skip
    add_request(places, {"kind": "by_class", "classes": [6]}, due="2020-01-01")
    start(places)
    lines = status_lines(places, now(places), None, TODAY)
    assert "OVERDUE: faces-1" in lines
    assert any("under way or interrupted: faces-run-3" in line for line in lines)


def test_what_was_asked_is_shown_where_it_is_kept(answered: Answered) -> None:
    state = now(answered.places)
    assert asked_lines(answered.places, state, "faces-2") == [
        "asked: --where 'sample_id < 60'", "reason: asked by mail",
    ]  # fmt: skip
    asked = answered.places.asked_file(state.requests["faces-2"].received.fields["token"])
    asked.unlink()
    (line,) = asked_lines(answered.places, state, "faces-2")
    assert line == f"what was asked is in {asked}, which is not there, or not yours to read"


def test_a_figure_that_the_last_audit_lacks_leaves_the_rest_of_the_status(answered: Answered) -> None:
    lines = status_lines(answered.places, now(answered.places), Policy(metrics={"proxy": 1.0}), TODAY)
    assert lines[-2] == "retrained model: not due"
    assert lines[-1].startswith("metrics.proxy decides nothing: the last audit has no such figure")
