"""kill -9 at random moments of every long command: a new storage each time, two of the command at once.

``KILLS=100 pytest -m soak tests/soak/test_kills.py``; ``-k pack`` for one command.

KILLS: how many of each command, two at once count twice. KILLS_OUT: a folder for a Markdown row of each command.
"""

from __future__ import annotations

import collections
import os
import random
import re
import shutil
import time
from pathlib import Path

import pytest

from tests.soak.forked import Started, start
from tests.soak.place import MODEL, Place

pytestmark = [pytest.mark.soak, pytest.mark.timeout(14400)]
KILLS = int(os.environ.get("KILLS", "100"))
SEED = int(os.environ.get("SEED", "0"))
HEADS = ("killed", "ended before", "begun again", "resumed", "was finished")


def kill_both(place: Place, command: str, seconds: float) -> int:
    """Start two of a command and kill them after so long; returns how many were killed."""
    begun = {who: start(place.words(command, who), place.folder / f"log-{who}") for who in ("a", "b")}
    time.sleep(seconds)
    killed = {who: one for who, one in begun.items() if one.poll() is None}
    for one in killed.values():
        one.kill()
    for one in begun.values():
        assert one.status in (0, -9) or _lost(one), one.said()
        assert "Traceback" not in one.said(), one.said()
    return len(killed)


LOST = (
    *("already exists", "made by another process meanwhile"),  # two packs into one folder
    *("was begun by another command", "was finished or given up by another", "; wait for it"),  # two of a request
)


def _lost(one: Started) -> bool:
    """The other one was first."""
    return one.status == 2 and any(words in one.said() for words in LOST)


def whole(place: Place, command: str, who: str) -> str:
    """What a killed command left is finished by the same command, or by --resume; returns which."""
    words, run = place.words(command, who), place.store / "runs" / who
    if command == "unlearn" and run.exists():
        assert (run / "run.json").is_file(), "a run without its record"
    if place.result(command, who).exists():
        if command == "pack":
            place.end(words, but="already exists")
        return "was finished"
    name = {"unlearn": who, "sweep": f"sweep-{who}"}.get(command)
    resumes = name is not None and (place.store / ("runs" if command == "unlearn" else "sweeps") / name).exists()
    place.end([*words, "--resume", name] if resumes and name else words)
    return "resumed" if resumes else "begun again"


def check_end(place: Place, command: str) -> None:
    """Nothing of the killed processes is left, and what was made is whole."""
    left = [str(p) for p in place.folder.rglob("*") if re.fullmatch(r"\..*\.partial", p.name)]
    assert not left, left
    if command == "pack":
        place.end(["data", "verify", str(place.folder / "out")])
    if command == "requests":
        assert not place.result(command, "a").with_name("00000005.json").exists(), "answered twice"
        place.end(["requests", "certificate", f"{MODEL}-1", "--storage", str(place.store)])
        certificate = place.store / "certificates" / f"{MODEL}-1.json"
        place.end(["requests", "verify", str(certificate), "--storage", str(place.store)])
    for who in ("a", "b"):
        assert command == "train" or place.result(command, who).is_file()


def seconds_of(command: str, place: Place) -> float:
    """How long one takes in a new storage."""
    began = time.monotonic()
    place.end(place.words(command, "a"))
    return time.monotonic() - began


@pytest.mark.parametrize("command", ["pack", "train", "unlearn", "audit", "compare", "sweep", "requests"])
def test_kills(command: str, made: Place, tmp_path: Path) -> None:
    def place(name: str) -> Place:
        new = Place(tmp_path / name, made.data)
        new.write_files()
        if command == "audit":
            shutil.copytree(made.store, new.store)
        if command == "requests":
            new.ask()
        return new

    generator, counts = random.Random(SEED), collections.Counter[str]()
    span = seconds_of(command, place("first"))
    while counts["killed"] < KILLS:
        now = place("next")
        killed = kill_both(now, command, generator.uniform(0, 1.5 * span))  # two at once take longer
        counts["killed"] += killed
        counts["ended before"] += 2 - killed
        for who in ("a", "b"):
            counts[whole(now, command, who)] += 1
        check_end(now, command)
        shutil.rmtree(now.folder)
        write_counts(command, counts)


def write_counts(command: str, counts: collections.Counter[str]) -> None:
    row = f"| {command} | " + " | ".join(str(counts[head]) for head in HEADS) + " |\n"
    if out := os.environ.get("KILLS_OUT"):
        (Path(out) / f"{command}.md").write_text(row)
