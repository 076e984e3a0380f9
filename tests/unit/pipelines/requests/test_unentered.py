from __future__ import annotations

import datetime
import os
import time
from pathlib import Path

import pytest

from cu_core.leftovers import DAY, machine
from cu_core.storage import place
from pipelines.requests import unentered as module
from pipelines.requests.asked import Asked, keep_asked
from pipelines.requests.intake import add_request
from pipelines.requests.listing import status_lines
from pipelines.requests.places import Places
from pipelines.requests.unentered import new_token, sweep_unentered, unentered
from tests.unit.cu_core.test_leftovers import dead_pid
from tests.unit.pipelines.requests.answered import now, opened

FIVE = {"kind": "by_class", "classes": [5]}


class Killed(BaseException):
    """A process that ends here."""


def files(places: Places) -> set[str]:
    return {path.name for folder in (places.intake, places.rows_file("").parent) for path in folder.glob("*.*")}


@pytest.mark.parametrize("point", ["append", "rows_file"])
def test_what_a_killed_add_left_is_told_and_deleted_by_the_next(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    places, dead = opened(tmp_path, digits), dead_pid()

    def killed(*given: object) -> Path:
        if given[-1] == "":  # the folder
            return rows_file(*given)  # type: ignore[arg-type]
        raise Killed

    rows_file = Places.rows_file
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: dead)
        patch.setattr(*((places.ledger, "append") if point == "append" else (Places, "rows_file")), killed)
        with pytest.raises(Killed):
            add_request(places, FIVE, reason="Ms Sample asked")
    left = files(places)
    assert len(left) == (2 if point == "append" else 1)
    today = datetime.date(2026, 1, 1)
    assert any("1 request never entered" in line for line in status_lines(places, now(places), None, today))
    received = add_request(places, FIVE)
    assert received.lines[-1] == (
        "1 request never entered, as the command was killed: its files are deleted; enter again what is still wanted"
    )
    assert received.id == "faces-1"
    assert not left & files(places)
    assert places.asked_file(received.entry.fields["token"]).is_file()
    assert not any("never entered" in line for line in status_lines(places, now(places), None, today))


@pytest.mark.parametrize(
    ("where", "pid", "age", "left"),
    [
        (machine(), os.getpid(), 9 * DAY, False),
        (machine(), 2**22 + 1, 0, True),
        ("0" * 8, os.getpid(), 0.9 * DAY, False),
        ("0" * 8, os.getpid(), 1.1 * DAY, True),
    ],
    ids=["alive", "dead", "elsewhere today", "elsewhere before yesterday"],
)
def test_files_that_another_command_is_about_to_enter_stay(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch, where: str, pid: int, age: float, left: bool
) -> None:
    places, made = opened(tmp_path, digits), time.time() - age
    with monkeypatch.context() as patch:
        patch.setattr(module, "machine", lambda: where)
        patch.setattr(os, "getpid", lambda: pid)
        patch.setattr(time, "time", lambda: made)
        token = new_token()
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.requests.asked.new_token", lambda: token)
        keep_asked(places, Asked(FIVE, "", "0" * 16, ()), ["ab"])
    assert unentered(places) == ([token] if left else [])
    assert sweep_unentered(places) == left
    assert places.asked_file(token).exists() is not left
    assert places.rows_file(token).exists() is not left


def test_what_was_entered_stays_when_its_process_has_ended(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, dead = opened(tmp_path, digits), dead_pid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: dead)
        received = add_request(places, FIVE)
    assert f"-{dead}-" in received.entry.fields["token"]
    assert sweep_unentered(places) == 0
    assert sweep_unentered(Places(places.store, "faces")) == 0
    assert places.asked_file(received.entry.fields["token"]).is_file()


def test_what_was_entered_between_the_look_at_files_and_at_the_ledger_stays(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process enters its request and ends while this one looks."""
    places, dead = opened(tmp_path, digits), dead_pid()
    lives, raced = module.lives, []

    def late(pid: int) -> bool:
        if not raced:
            raced.append(True)
            with monkeypatch.context() as patch:
                patch.setattr(module, "lives", lives)
                patch.setattr(os, "getpid", lambda: dead)
                add_request(Places(places.store, "faces"), FIVE)
        return False

    keep_asked(places, Asked(FIVE, "", "0" * 16, ()), ["ab"])
    monkeypatch.setattr(module, "lives", late)
    assert len(unentered(places)) == 1
    assert places.asked_file(now(places).requests["faces-1"].received.fields["token"]).is_file()


def test_at_an_address_the_files_are_deleted_there_too(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "cache"))
    places, dead = Places(place(f"file://{tmp_path}/shared/out"), "faces"), dead_pid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: dead)
        token = keep_asked(places, Asked(FIVE, "", "0" * 16, ()), ["ab"])
    there = tmp_path / "shared" / "out"
    held = [there / "intake" / "faces" / f"{token}.json", there / "ledgers" / "faces" / "rows" / f"{token}.txt"]
    assert all(path.is_file() for path in held)
    assert sweep_unentered(places) == 1
    assert not any(path.exists() for path in held)
