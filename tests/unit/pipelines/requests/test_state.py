from __future__ import annotations

from typing import Any

import pytest

from cu_core.errors import ConfigError
from pipelines.requests.ledger import Entry
from pipelines.requests.state import State, state_of

OPENED = ("opened", {"original": "models/a"})


def received(number: int, by: tuple[str, ...] = ()) -> tuple[str, dict[str, Any]]:
    return "received", {"request": f"faces-{number}", "answered_by": list(by)}


def completed(*numbers: int) -> tuple[str, dict[str, Any]]:
    names = [f"faces-{n}" for n in numbers]
    return "completed", {"requests": names, "result": {"folder": f"runs/{numbers[0]}", "weights": f"w{numbers[0]}"}}


def started(*numbers: int) -> tuple[str, dict[str, Any]]:
    return "started", {"requests": [f"faces-{n}" for n in numbers], "run": "faces-run-9"}


def state(*entries: tuple[str, dict[str, Any]]) -> State:
    every = [OPENED, *entries]
    return state_of([Entry(n, kind, "t", fields, f"h{n}") for n, (kind, fields) in enumerate(every, 1)])


def words(found: State) -> list[str]:
    return [one.word for one in found.requests.values()]


def test_requests_wait_run_and_are_done() -> None:
    assert words(state(received(1), received(2))) == ["pending", "pending"]
    running = state(received(1), received(2), started(1, 2))
    assert (words(running), running.pending, running.last) == (["running", "running"], [], 4)
    done = state(received(1), received(2), started(1, 2), completed(1, 2))
    assert words(done) == ["done", "done"]
    assert done.started is None
    assert (done.forgotten, done.ever) == (("faces-1", "faces-2"), ("faces-1", "faces-2"))
    assert done.versions[-1].weights == "w1"


def test_a_batch_of_which_one_is_cancelled_waits_again() -> None:
    found = state(received(1), received(2), started(1, 2), ("cancelled", {"request": "faces-1"}))
    assert words(found) == ["cancelled", "pending"]
    assert found.started is None


def test_a_roll_back_makes_its_requests_pending_and_those_that_relied_on_them() -> None:
    entries = [received(1), started(1), completed(1), received(2), started(2), completed(2), received(3, ("faces-2",))]
    assert words(state(*entries)) == ["done", "done", "covered"]
    back = state(*entries, ("rolled_back", {}))
    assert words(back) == ["done", "pending", "pending"]
    assert (back.forgotten, back.ever) == (("faces-1",), ("faces-1", "faces-2"))
    assert back.versions[-1].folder == "runs/1"


def test_what_a_run_found_forgotten_is_answered() -> None:
    found = state(received(1), ("answered", {"answered_by": {"faces-1": ["faces-0"]}}))
    assert words(found) == ["covered"], "an entry of the kind answered"
    assert found.requests["faces-1"].why == "every row was forgotten by faces-0"


def test_an_entry_that_changes_no_state_is_passed_over() -> None:
    assert words(state(received(1), ("purged", {"request": "faces-1"}))) == ["pending"]


def test_unknown_requests_and_unopened_ledgers_are_named() -> None:
    with pytest.raises(ConfigError, match="no request 'faces-7': the last one is faces-1"):
        state(received(1)).request("faces-7")
    with pytest.raises(ConfigError, match="there is none yet"):
        state().request("faces-7")
    with pytest.raises(ConfigError, match="no first entry"):
        state_of([])
