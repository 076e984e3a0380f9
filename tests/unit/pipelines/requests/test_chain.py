from __future__ import annotations

import numpy as np
import pytest

from pipelines.requests.answer import roll_back
from pipelines.requests.asked import forget_set_of
from pipelines.requests.chain import batch_of, link_of, predecessor_of
from pipelines.requests.intake import add_request
from tests.unit.pipelines.requests.answered import answer_all, now
from tests.unit.pipelines.requests.conftest import Answered


def test_a_batch_is_its_new_rows_and_knows_those_before(answered: Answered) -> None:
    places = answered.places
    add_request(places, {"kind": "by_class", "classes": [6]})
    add_request(places, {"kind": "by_predicate", "where": "sample_id < 90"})
    state = now(places)
    five, low, six, lower = (forget_set_of(places, state, f"faces-{n}").rows for n in (1, 2, 3, 4))
    batch = batch_of(places, state, ["faces-3", "faces-4"])
    assert batch is not None
    forgotten = np.union1d(five, low)
    assert batch.new.before is not None
    np.testing.assert_array_equal(batch.new.before.rows, forgotten)
    assert batch.new.before.classes == (5,), "unseen rows of class 5 decide nothing any more"
    np.testing.assert_array_equal(batch.new.rows, np.setdiff1d(np.union1d(six, lower), forgotten))
    np.testing.assert_array_equal(batch.union.rows, np.union1d(forgotten, np.union1d(six, lower)))
    assert (batch.new.kind, batch.union.kind) == ("sample", "sample")


def test_rows_that_were_rolled_back_are_still_never_drawn(answered: Answered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.requests.answer.point_aliases", lambda *given: None)
    places = answered.places
    add_request(places, {"kind": "by_class", "classes": [6]})
    roll_back(places)
    state = now(places)
    batch = batch_of(places, state, ["faces-3"])
    assert batch is not None
    assert batch.new.before is not None
    five, low = (forget_set_of(places, state, f"faces-{n}").rows for n in (1, 2))
    six = forget_set_of(places, state, "faces-3").rows
    np.testing.assert_array_equal(batch.new.before.rows, np.setdiff1d(np.union1d(five, low), six))
    np.testing.assert_array_equal(batch.union.rows, np.union1d(five, six))
    assert batch.union.kind == "class"


def test_a_class_is_forgotten_again_after_a_roll_back(answered: Answered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.requests.answer.point_aliases", lambda *given: None)
    places = answered.places
    add_request(places, {"kind": "by_class", "classes": [6]})
    answer_all(places)
    first = now(places).versions[-1].entry.fields
    roll_back(places)
    answer_all(places)
    again = now(places).versions[-1].entry.fields
    assert (again["forget"], again["union"], again["rows"]) == (first["forget"], first["union"], first["rows"])


def test_a_class_that_is_named_again_beside_a_new_one_is_no_hindrance(answered: Answered) -> None:
    places = answered.places
    add_request(places, {"kind": "by_class", "classes": [5, 6]})
    answer_all(places)
    assert now(places).requests["faces-3"].word == "done"


def test_nothing_new_is_no_batch(answered: Answered) -> None:
    assert batch_of(answered.places, now(answered.places), ["faces-1"]) is None


def test_a_link_starts_from_the_current_version_and_is_judged_over_the_union(answered: Answered) -> None:
    places = answered.places
    add_request(places, {"kind": "by_class", "classes": [6]})
    state = now(places)
    batch = batch_of(places, state, ["faces-3"])
    assert batch is not None
    link = link_of(places, state, batch, True, "faces-run-9")
    assert link.plan.original.folder == places.store / predecessor_of(state)
    assert link.plan.starts_from == state.versions[-1].weights
    assert link.judged.original.folder == places.store / state.opened.fields["original"]
    assert link.plan.forget.digest == batch.new.digest
    assert link.judged.forget.digest == batch.union.digest
    assert link.plan.config.name == link.judged.config.name == "faces-run-9"
    assert link.plan.config.stop == link.judged.config.stop
    drawn = link.plan.split.retain_rows(np.arange(link.plan.split.num_retain))
    assert not np.isin(drawn, batch.union.rows).any()
    other = link_of(places, state, batch, True, "faces-run-9")
    assert other.plan.digest == link.plan.digest != link.judged.digest


def test_the_original_stays_that_of_the_ledger_in_later_versions_of_the_code(
    answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = answered.places
    add_request(places, {"kind": "by_class", "classes": [6]})
    state = now(places)
    monkeypatch.setattr("cu_core.config.source_digest", lambda *given: "another version")
    batch = batch_of(places, state, ["faces-3"])
    assert batch is not None
    link = link_of(places, state, batch, True, "faces-run-9")
    assert link.judged.original.folder == places.store / state.opened.fields["original"]
    assert link.judged.config.original_key(link.judged.manifest.digest) != link.judged.original.folder.name
