from __future__ import annotations

import json

from pipelines.requests.facts import CLAIMED, NOT_CLAIMED, NOT_COMPARED, claims, environment_of
from pipelines.requests.ledger import canonical
from tests.unit.pipelines.requests.answered import now
from tests.unit.pipelines.requests.conftest import Answered


def test_an_entry_holds_what_a_certificate_says(answered: Answered) -> None:
    first, second = (version.entry.fields for version in now(answered.places).versions)
    assert second["predecessor"] == first["result"]
    assert second["original"] == first["original"] == first["predecessor"]
    assert second["rows"]["forgotten_before"] == first["rows"]["forgotten_in_all"] == first["rows"]["forgotten_now"]
    assert second["rows"]["forgotten_in_all"] == first["rows"]["forgotten_now"] + second["rows"]["forgotten_now"]
    assert second["rows"]["training"] == 1079
    assert (second["violations"], second["retained_rows_checked"]) == (0, 3840)
    assert second["audit"]["verdict"] == "over-forgotten"
    assert second["audit"]["controls"]["accuracy"] == {
        "verdict": "over-forgotten", "original_fails": True, "held_out_oracles_pass": 2,
    }  # fmt: skip
    assert second["audit"]["figures"]["oracle_gap"] == 1.0
    assert second["cost"]["retain_rows"] == 20.0
    assert {key: second[key] for key in ("claimed", "not_claimed")} == claims(compared=False)
    assert json.loads(canonical(second)) == second


def test_a_comparison_is_claimed_where_there_was_one() -> None:
    with_oracles, without = claims(compared=True), claims(compared=False)
    assert with_oracles == {"claimed": list(CLAIMED), "not_claimed": list(NOT_CLAIMED)}
    assert not any("models that were trained without" in line for line in without["claimed"])
    assert without["not_claimed"] == [NOT_COMPARED, *NOT_CLAIMED]


def test_the_environment_is_that_of_the_model_and_of_this_process() -> None:
    found = environment_of({"torch": "9.9", "device": "cpu"}, 3)
    assert (found["torch"], found["threads"]) == ("9.9", "3")
    assert {"python", "machine", "instructions", "threads", "packages"} <= found.keys()
    assert found == environment_of({"torch": "9.9", "device": "cpu"}, 3)
