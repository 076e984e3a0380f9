from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cu_core.errors import DamagedFile
from pipelines.requests.ledger import FIRST, Entry, Ledger, canonical, sha256_hex


def note(text: str) -> Any:
    return lambda entries: {"kind": "noted", "text": text}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "faces")
    for text in ("a", "b", "c"):
        made.append(note(text))
    return made


def test_canonical_json_has_one_text() -> None:
    assert canonical({"b": 1, "a": ["é", None, 0.5]}) == '{"a":["é",null,0.5],"b":1}'.encode()
    with pytest.raises(ValueError):
        canonical(float("nan"))


def test_each_entry_holds_the_hash_of_the_one_before(ledger: Ledger) -> None:
    stored = [json.loads(ledger.path(n).read_bytes()) for n in (1, 2, 3)]
    assert [one["text"] for one in stored] == ["a", "b", "c"]
    assert stored[0]["previous"] == FIRST
    assert stored[2]["previous"] == sha256_hex(ledger.path(2).read_bytes())
    assert [(e.number, e.kind, e.fields["text"]) for e in Ledger(ledger.folder).read()] == [
        (1, "noted", "a"), (2, "noted", "b"), (3, "noted", "c"),
    ]  # fmt: skip


def test_nothing_is_appended_if_there_is_nothing_to_say(ledger: Ledger) -> None:
    assert ledger.append(lambda entries: None) is None
    assert len(ledger.read()) == 3


def test_a_writer_that_is_second_decides_anew(ledger: Ledger) -> None:
    """Another writer appends between what the first one reads and what it writes."""
    seen = []

    def make(entries: Sequence[Entry]) -> dict[str, Any]:
        seen.append(len(entries))
        if len(seen) == 1:
            Ledger(ledger.folder).append(note("meanwhile"))
        return {"kind": "noted", "text": "late"}

    entry = ledger.append(make)
    assert seen == [3, 4]
    assert entry is not None
    assert (entry.number, ledger.read()[3].fields["text"]) == (5, "meanwhile")


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"text":"b"', b'"text":"B"'))


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda f: changed(f / "00000002.json"), "entry 2 of faces was changed, or entry 3 was"),
        (lambda f: (f / "00000002.json").unlink(), "entry 2 of faces is missing"),
        (lambda f: (f / "00000002.json").write_text("{}"), "entry 2 of faces is damaged"),
        (lambda f: (f / "00000002.json").write_bytes(b'{"kind": "noted"}'), "entry 2 of faces is damaged"),
        (lambda f: (f / "00000003.json").rename(f / "00000002.json"), "entry 2 of faces is not in its place"),
        (lambda f: (f / "00000001.json").unlink(), "entry 1 of faces is missing"),
    ],
)
def test_a_broken_chain_is_named_and_never_appended_to(ledger: Ledger, tamper: Any, said: str) -> None:
    tamper(ledger.folder)
    assert any(said in problem for problem in ledger.problems())
    with pytest.raises(DamagedFile, match="ledger entry"):
        Ledger(ledger.folder).append(note("d"))


@pytest.mark.parametrize(("number", "gap"), [(5, "entry 4 of faces is missing"), (9_999_999, "entries 4 to 9999998")])
def test_a_stray_entry_far_behind_is_named_with_the_gap_in_a_line_each(ledger: Ledger, number: int, gap: str) -> None:
    ledger.path(number).write_bytes(ledger.path(2).read_bytes())
    missing, stray = ledger.problems()
    assert gap in missing
    assert f"entry {number} of faces is not in its place: it says it is entry 2" in stray


def test_a_sound_chain_has_no_problem(ledger: Ledger) -> None:
    assert ledger.problems() == []
    assert Ledger(ledger.folder.parent / "absent").problems() == []


WRITER = """
import sys
from pathlib import Path
from pipelines.requests.ledger import Ledger
ledger, name = Ledger(Path(sys.argv[1])), sys.argv[2]
for number in range(int(sys.argv[3])):
    entry = ledger.append(lambda entries: {"kind": "noted", "text": f"{name}-{number}"})
    print(entry.number, f"{name}-{number}", flush=True)
"""


def writer(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), name, str(count)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip


def names_in(files: set[Path]) -> set[str]:
    """The writers of some entries."""
    return {json.loads(file.read_bytes())["text"].split("-")[1] for file in files}


def test_writers_at_once_and_kills_lose_nothing_and_fork_nothing(tmp_path: Path) -> None:
    """Every entry that a writer was told is there stays at its number, whoever was killed."""
    folder = tmp_path / "faces"
    acknowledged: dict[int, str] = {}
    rng = random.Random(0)
    for turn in range(4):
        writers = [writer(folder, f"{turn}-{name}", 10_000) for name in "ab"]
        before = set(folder.glob("*.json"))
        while len(new := set(folder.glob("*.json")) - before) < 20 or len(names_in(new)) < 2:
            time.sleep(0.005)
        time.sleep(rng.random() / 20)
        for process in writers:
            process.send_signal(signal.SIGKILL)
        for process in writers:
            out, _ = process.communicate()
            lines = out.splitlines(keepends=True)
            for line in lines:
                if line.endswith("\n"):
                    number, text = line.split()
                    assert acknowledged.setdefault(int(number), text) == text
    ledger = Ledger(folder)
    assert ledger.problems() == []
    entries = {e.number: e.fields["text"] for e in ledger.read()}
    assert sorted(entries) == list(range(1, len(entries) + 1))
    assert acknowledged.items() <= entries.items()
    assert len(set(entries.values())) == len(entries)
    assert {text[:3] for text in entries.values()} == {f"{turn}-{name}" for turn in range(4) for name in "ab"}
    ledger.append(note("end"))
    assert ledger.problems() == []
