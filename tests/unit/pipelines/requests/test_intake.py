from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError, UserError
from pipelines.requests.intake import add_request, cancel_request
from pipelines.requests.listing import asked_lines
from tests.unit.pipelines.requests.answered import answer_all, now, opened, start
from tests.unit.pipelines.requests.conftest import Answered

FIVE = {"kind": "by_class", "classes": [5]}


def test_a_request_is_resolved_and_entered(tmp_path: Path, digits: Path) -> None:
    places = opened(tmp_path, digits)
    received = add_request(places, FIVE, reason="contract 12 ended", due="2030-01-31")
    fields = now(places).requests["faces-1"].received.fields
    rows = int((ShardReader(digits).labels("train", np.arange(1079)) == 5).sum())
    assert received.id == "faces-1"
    assert (fields["rows"], fields["new_rows"], fields["due"], fields["what"]) == (rows, rows, "2030-01-31", "class")
    assert received.lines[0] == f"{rows} of 1079 training rows: {rows} of class 5"
    assert "cost: at most" in received.lines[-1]


def test_what_it_costs_names_the_original_where_it_is_not_there(tmp_path: Path, digits: Path) -> None:
    places = opened(tmp_path, digits)
    assert "before that the original" not in add_request(places, FIVE).lines[-1]
    shutil.rmtree(places.store / now(places).opened.fields["original"])
    assert "before that the original, which is not there, is trained over" in add_request(places, FIVE).lines[-1]


def test_all_ids_that_were_not_found_are_kept(tmp_path: Path, digits: Path) -> None:
    places = opened(tmp_path, digits)
    gone = list(range(10**6, 10**6 + 9))
    (tmp_path / "ids.csv").write_text("sample_id\n20\n" + "".join(f"{one}\n" for one in gone))
    received = add_request(places, {"kind": "by_id", "path": str(tmp_path / "ids.csv"), "missing": "note"})
    assert any("9 of 10 ids are not in the training split: 1000000" in line for line in received.lines)
    shown = asked_lines(places, now(places), "faces-1")
    assert f"found: not in the training split: {', '.join(map(str, gone))}" in shown


def test_the_ledger_holds_no_personal_data(tmp_path: Path, digits: Path) -> None:
    places = opened(tmp_path, digits)
    secret = {"kind": "by_predicate", "where": "sample_id == 20"}
    add_request(places, secret, reason="Ms Sample asked")
    held = b"".join(p.read_bytes() for p in places.ledger.folder.rglob("*") if p.is_file())
    asked = json.loads(places.asked_file(now(places).requests["faces-1"].received.fields["token"]).read_text())
    for personal in (b"Sample asked", b"sample_id ==", asked["forget"].encode(), places.salt.read_bytes()):
        assert personal not in held


def test_rows_that_are_forgotten_already_are_told(answered: Answered) -> None:
    again = add_request(answered.places, FIVE)
    assert again.entry.fields["answered_by"] == ["faces-1"]
    assert "forgotten already, by faces-1" in again.lines[1]
    assert "nothing is left to forget" in again.lines[-1]
    assert now(answered.places).requests["faces-3"].word == "covered"
    more = add_request(answered.places, {"kind": "by_class", "classes": [5, 6]})
    assert more.entry.fields["answered_by"] == []
    assert 0 < more.entry.fields["new_rows"] < more.entry.fields["rows"]


def test_rows_of_pending_requests_are_told(answered: Answered) -> None:
    add_request(answered.places, {"kind": "by_class", "classes": [7]})
    again = add_request(answered.places, {"kind": "by_class", "classes": [7]})
    assert any("are also in pending requests" in line for line in again.lines)


CARELESS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a class that is none": ({"kind": "by_class", "classes": [12]}, {}, "class 12 does not exist"),
    "a class by a wrong name": ({"kind": "by_class", "classes": ["fife"]}, {}, "class fife does not exist"),
    "a column that is none": ({"kind": "by_predicate", "where": "user == 3"}, {}, "no column 'user'"),
    "an expression of half": ({"kind": "by_predicate", "where": "label =="}, {}, "does not parse"),
    "an expression of no row": ({"kind": "by_predicate", "where": "label == 77"}, {}, "forgets nothing"),
    "every row": ({"kind": "by_predicate", "where": "label >= 0"}, {}, "forgets all 1079 training rows"),
    "a list that is not there": ({"kind": "by_id", "path": "/nowhere.csv"}, {}, "no file /nowhere.csv"),
    "words without captions": ({"kind": "by_concept", "concept": "zebra"}, {}, "caption"),
    "a date that is none": (FIVE, {"due": "next week"}, "--due: must be a date such as 2027-01-31, got 'next week'"),
    "a reason of many pages": (FIVE, {"reason": "x" * 3000}, "--reason has 3000 characters; it may have 2000"),
}


@pytest.mark.parametrize("name", CARELESS)
def test_careless_requests_are_one_line_and_leave_nothing(answered: Answered, name: str) -> None:
    request, more, said = CARELESS[name]
    before = len(answered.places.ledger.read())
    asked = sorted(answered.places.intake.iterdir())
    with pytest.raises(UserError, match=said) as raised:
        add_request(answered.places, request, **more)
    assert "\n" not in str(raised.value)
    assert len(answered.places.ledger.read()) == before
    assert sorted(answered.places.intake.iterdir()) == asked


def test_other_data_under_the_same_path_are_refused(answered: Answered) -> None:
    manifest = answered.folder / "data" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"pixel_std": [\n  0.', '"pixel_std": [\n  1.'))
    with pytest.raises(ConfigError, match="the model was opened with data of digest"):
        add_request(answered.places, FIVE)


def test_what_waits_can_be_cancelled_and_what_is_done_cannot(tmp_path: Path, digits: Path) -> None:
    places = opened(tmp_path, digits)
    add_request(places, FIVE)
    cancel_request(places, "faces-1")
    assert now(places).requests["faces-1"].word == "cancelled"
    with pytest.raises(ConfigError, match="faces-1 is cancelled and cannot be cancelled"):
        cancel_request(places, "faces-1")
    add_request(places, FIVE)
    answer_all(places)
    with pytest.raises(ConfigError, match="faces-2 is done and cannot be cancelled; `cu requests roll-back`"):
        cancel_request(places, "faces-2")
    add_request(places, {"kind": "by_class", "classes": [6]})
    add_request(places, {"kind": "by_class", "classes": [7]})
    start(places)
    cancel_request(places, "faces-3")  # its run was killed before it began
    assert now(places).pending == ["faces-4"]


def test_a_request_that_is_being_answered_is_not_cancelled(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = opened(tmp_path, digits)
    add_request(places, FIVE)
    start(places)
    monkeypatch.setattr("pipelines.requests.intake.at_work", lambda run: "process 7 on here")
    with pytest.raises(ConfigError, match=r"faces-1 is being answered \(process 7 on here\); end that run first"):
        cancel_request(places, "faces-1")
    assert now(places).requests["faces-1"].word == "running"
