from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.requests.places import Places
from pipelines.requests.spoken import as_given, spoken, spoken_notes, spoken_request

IDS = {"kind": "by_id", "path": "/a.csv", "column": None, "missing": "refuse", "duplicates": "ignore"}


@pytest.mark.parametrize(
    ("said", "spoken_as"),
    [
        ("request.path: no file /a.csv.", "--ids: no file /a.csv."),
        ("request.column: no column 'x'.", "--key: no column 'x'."),
        ("or set request.missing to note (cu requests add: --missing note).", "or give --missing note."),
        ("predicate 'a =': does not parse", "--where 'a =': does not parse"),
        ("; request.duplicates=include forgets them too", "; --duplicates include forgets them too"),
        (
            "the request forgets nothing: none of 9 training rows matches ByIds(kind='by_id', path='(').",
            "the request forgets nothing: none of 9 training rows is named by --ids.",
        ),
        ("no training row matches 'user_id is null'; .", "no training row matches 'user_id is null'."),
        ("no training row matches 'a == 1'; 0 rows have no a: not matched.", "no training row matches 'a == 1'."),
        (
            "request.kind by_concept matches captions, d has none; for a class of labels: request={kind: by_class, "
            "classes: [5]} (cu requests add: --class).",
            "--concept matches captions, d has none; for a class of labels: --class 5.",
        ),
        ("3 rows have no a: not matched", "3 rows have no a: not matched"),
        ("1 rows have no a: not matched", "1 row has no a: not matched"),
        (
            "1 ids of a.csv stand there before: each is taken once",
            "1 id of a.csv stands there before: each is taken once",
        ),
    ],
)
def test_messages_name_options(tmp_path: Path, said: str, spoken_as: str) -> None:
    assert spoken(said, Places(tmp_path, "faces"), IDS) == spoken_as


def test_standard_input_is_called_so_and_kept_as_such(tmp_path: Path) -> None:
    places = Places(tmp_path, "faces")
    path = str(places.intake / ".partial-1" / "standard-input")
    assert spoken(f"request.path: {path} holds no id.", places, {**IDS, "path": path}) == (
        "--ids: standard input holds no id."
    )
    assert spoken_request({**IDS, "path": path}, places)["path"] == "-"
    assert spoken_request(IDS, places) == IDS
    assert spoken_notes(["0 rows have no a: not matched", "b"], places, IDS) == ("b",)


@pytest.mark.parametrize(
    ("request_", "given"),
    [
        (IDS, "--ids /a.csv"),
        ({**IDS, "column": "u", "missing": "note"}, "--ids /a.csv --key u --missing note"),
        (
            {"kind": "by_class", "classes": [5, "six"], "duplicates": "include"},
            "--class 5 --class six --duplicates include",
        ),
        ({"kind": "by_predicate", "where": "a == 1", "duplicates": "ignore"}, "--where 'a == 1'"),
        (
            {"kind": "by_concept", "concept": "a", "synonyms": ("b",), "duplicates": "ignore"},
            "--concept 'a' --concept 'b'",
        ),
        ({"kind": "by_random", "count": 3}, "kind by_random, count 3"),
    ],
)
def test_a_request_is_shown_as_it_was_given(request_: dict[str, Any], given: str) -> None:
    assert as_given(request_) == given
