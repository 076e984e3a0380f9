from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter

from cu_core.audit.report import AuditReport
from cu_core.errors import ConfigError
from pipelines.requests import answer as module
from pipelines.requests.answer import answer, roll_back
from pipelines.requests.chain import batch_of, link_of
from pipelines.requests.intake import add_request
from pipelines.requests.places import Places
from tests.unit.pipelines.reports import report
from tests.unit.pipelines.requests.answered import now, opened, start, tiny_model
from tests.unit.pipelines.requests.conftest import Answered
from tests.unit.pipelines.requests.test_drop import dropped


@pytest.fixture
def pointed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions that were made current."""
    found: list[str] = []

    def point(places: Any, state: Any, config: Any) -> None:
        found.append(state.versions[-1].folder if state.versions else "original")

    monkeypatch.setattr(module, "point_aliases", point)
    return found


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """What each run resumed; a run writes a model."""
    resumed: list[str | None] = []

    def run_plans(plan: Any, judged: Any, *, local: bool, resume: str | None) -> Any:
        resumed.append(resume)
        folder = judged.config.store / "runs" / judged.config.name
        tiny_model(folder / "unlearned", 7.0)
        for name in ("config.yaml", "audit.json", "run.json"):
            (folder / name).write_text("{}")
        return SimpleNamespace(report=report(judged.config))

    monkeypatch.setattr(module, "run_plans", run_plans)
    monkeypatch.setattr(module, "run_proxy", lambda *given: {"utility": 1.0, "forget": 2.0, "output": 3.0})
    return resumed


def test_pending_requests_are_answered_as_one_batch(
    tmp_path: Path, digits: Path, runs: list[str | None], pointed: list[str]
) -> None:
    places = opened(tmp_path, digits)
    assert answer(places, [], True) is None
    for label in (5, 6):
        add_request(places, {"kind": "by_class", "classes": [label]})
    done = answer(places, [], True)
    assert done is not None
    assert done.entry.fields["requests"] == ["faces-1", "faces-2"]
    assert runs == [None]
    assert pointed == ["runs/faces-run-4/unlearned"]
    figures = done.entry.fields["audit"]["figures"]
    assert (figures["proxy"], figures["proxy/forget"]) == (2.0, 2.0), "without oracles, the proxy stands in"


def test_an_interrupted_batch_goes_on(answered: Answered, runs: list[str | None], pointed: list[str]) -> None:
    places = answered.places
    for label in (6, 7):
        add_request(places, {"kind": "by_class", "classes": [label]})
    start(places, "faces-3")
    with pytest.raises(ConfigError, match="of faces-3 was interrupted; go on with"):
        answer(places, ["faces-4"], True)
    run = now(places).started
    assert run is not None
    name = run.fields["run"]
    places.run(name).mkdir(parents=True)
    (places.run(name) / "run.json").write_text("{}")
    done = answer(places, [], True)
    assert runs == [name]
    assert done is not None
    assert done.entry.fields["requests"] == ["faces-3"]
    assert now(places).pending == ["faces-4"]


def test_what_another_request_forgot_meanwhile_is_answered(
    answered: Answered, runs: list[str | None], pointed: list[str]
) -> None:
    places = answered.places
    for _ in range(2):
        add_request(places, {"kind": "by_class", "classes": [6]})
    answer(places, ["faces-3"], True)
    done = answer(places, ["faces-4"], True)
    assert done is not None
    assert (done.report, done.entry.fields["answered_by"]) == (None, {"faces-4": ["faces-3"]})
    assert len(runs) == 1


def test_only_pending_requests_are_run(answered: Answered, runs: list[str | None]) -> None:
    with pytest.raises(ConfigError, match="faces-1 is done .*only pending requests can be run"):
        answer(answered.places, ["faces-1"], True)
    with pytest.raises(ConfigError, match="no request 'faces-9'"):
        answer(answered.places, ["faces-9"], True)
    assert runs == []


def test_a_roll_back_is_an_entry_and_ends_at_the_original(answered: Answered, pointed: list[str]) -> None:
    places = answered.places
    entry = roll_back(places)
    assert entry.fields["requests"] == ["faces-2"]
    assert roll_back(places).fields["to"] == now(places).opened.fields["original"]
    assert pointed[-1] == "original"
    assert now(places).pending == ["faces-1", "faces-2"]
    with pytest.raises(ConfigError, match="the original is current; there is nothing to roll back"):
        roll_back(places)


def test_a_roll_back_names_the_requests_that_relied_on_those_that_are_lost(
    answered: Answered, pointed: list[str]
) -> None:
    add_request(answered.places, {"kind": "by_predicate", "where": "sample_id < 60"})
    assert now(answered.places).requests["faces-3"].by
    assert roll_back(answered.places).fields["requests"] == ["faces-2", "faces-3"]
    assert now(answered.places).pending == ["faces-2", "faces-3"]


def test_nothing_is_rolled_back_while_a_run_is_under_way(answered: Answered) -> None:
    add_request(answered.places, {"kind": "by_class", "classes": [6]})
    start(answered.places)
    with pytest.raises(ConfigError, match="is under way or was interrupted"):
        roll_back(answered.places)


def test_of_two_commands_at_once_one_begins(answered: Answered, runs: list[str | None]) -> None:
    """The other one has read the ledger before, and appends after it."""
    for label in (6, 7):
        add_request(answered.places, {"kind": "by_class", "classes": [label]})
    append, raced = answered.places.ledger.append, []

    def late(make: Any) -> Any:
        if not raced:
            raced.append(True)
            start(Places(answered.store, "faces"), "faces-3")
        return append(make)

    answered.places.ledger.append = late  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="was begun by another command meanwhile"):
        answer(answered.places, ["faces-4"], True)
    assert now(answered.places).pending == ["faces-4"]
    assert runs == []


@pytest.mark.parametrize("own", [True, False])
def test_a_run_that_finished_before_it_was_entered_is_taken_if_it_is_the_batch_s_own(
    answered: Answered, runs: list[str | None], pointed: list[str], own: bool
) -> None:
    places = answered.places
    add_request(places, {"kind": "by_class", "classes": [6]})
    start(places, "faces-3")
    state = now(places)
    assert state.started is not None
    batch = batch_of(places, state, ["faces-3"])
    assert batch is not None
    link = link_of(places, state, batch, True, state.started.fields["run"])
    folder = places.run(state.started.fields["run"])
    tiny_model(folder / "unlearned", 7.0)
    (folder / "run.json").write_text(json.dumps({"config_digest": link.plan.digest if own else "other"}))
    (folder / "audit.json").write_bytes(TypeAdapter(AuditReport).dump_json(report(link.judged.config)))
    for name in ("config.yaml", "result.json"):
        (folder / name).write_text("{}")
    if own:
        done = answer(places, [], True)
        assert done is not None
        assert now(places).requests["faces-3"].word == "done"
    else:
        with pytest.raises(ConfigError, match="holds another run"):
            answer(places, [], True)
    assert runs == []


def test_aliases_that_a_killed_command_did_not_set_are_set_by_the_next(answered: Answered, pointed: list[str]) -> None:
    assert answer(answered.places, [], True) is None
    assert pointed == [now(answered.places).versions[-1].folder]


def test_a_version_made_from_data_that_were_dropped_meanwhile_is_not_entered(
    answered: Answered, runs: list[str | None], pointed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    places, plain = answered.places, module.run_plans
    add_request(places, {"kind": "by_class", "classes": [6]})

    def dropping(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr("pipelines.requests.drop._check", lambda state, names: None)  # it looked before the start
        dropped(Places(answered.store, "faces"), "faces-1")
        return plain(*given, **named)

    monkeypatch.setattr(module, "run_plans", dropping)
    with pytest.raises(
        ConfigError, match="of faces-1 were dropped on purpose .*, while faces-run-9 ran; `cu requests can"
    ):
        answer(places, [], True)
    assert now(places).requests["faces-3"].word == "running"


def test_a_batch_whose_rows_were_all_dropped_while_it_was_unfinished_is_refused(
    answered: Answered, runs: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = answered.places
    monkeypatch.setattr("pipelines.requests.drop._check", lambda state, names: None)  # it looked before the start
    add_request(places, {"kind": "by_class", "classes": [6]})
    start(places, "faces-3")
    dropped(places, "faces-3")
    with pytest.raises(
        ConfigError, match=r"the rows of faces-run-\d+ are in the data no more: .*cancel` one of faces-3"
    ):
        answer(places, [], True)
    assert runs == []


def test_a_batch_that_cannot_be_answered_is_not_begun(
    tmp_path: Path, digits: Path, runs: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = opened(tmp_path, digits)
    add_request(places, {"kind": "by_class", "classes": [5]})

    def refused(*given: Any) -> None:
        raise ConfigError("the stop set of the forgotten class is empty")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.requests.chain.plan_of", refused)
        with pytest.raises(ConfigError, match="the stop set"):
            answer(places, [], True)
    assert (now(places).started, now(places).pending, runs) == (None, ["faces-1"], [])
