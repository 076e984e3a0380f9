"""kill -9 at random moments of pack, train, unlearn and audit: a new storage each time, two of each command at once.

``KILLS=100 SPAN=1 pytest -m soak tests/soak/test_kills.py``; KILLS: how many, over all commands (two at once count
twice); SPAN: by how much longer than on two free cores a command takes here;
ROUNDS: how often the same two are killed before they end; KILLS_OUT: a Markdown file for the counts.
"""

from __future__ import annotations

import collections
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]
KILLS = int(os.environ.get("KILLS", "100"))
SPAN = float(os.environ.get("SPAN", "1"))
ROUNDS = int(os.environ.get("ROUNDS", "1"))
SECONDS = {"pack": 6.0, "train": 12.0, "unlearn": 30.0, "audit": 20.0}
"""How long a command takes on two free cores; it is killed at some moment of it."""
TINY = {
    "model": {"name": "resnet10", "width": 8},
    "request": {"kind": "by_class", "classes": [5]},
    "train": {"epochs": 1, "batch": 64, "optimizer": {"lr": 0.05}},
    "stop": {"rule": "none", "max_steps": 10},
    "workers": {"checkpoint_every": 2},
    "audit": {"oracles": 0, "audits": ["accuracy", "membership"]},
}


@dataclass
class Place:
    """One storage, and what is run in it."""

    folder: Path
    data: Path
    log: list[str] = field(default_factory=list)

    def words(self, command: str, who: str) -> list[str]:
        config, storage = self.folder / "run.yaml", self.folder / "store"
        config.write_text(yaml.safe_dump(TINY | {"data": {"path": str(self.data)}, "storage": str(storage)}))
        return {
            "pack": ["data", "pack", "digits", str(self.folder / f"out-{who}")],
            "train": ["train", str(config), "--local"],
            "unlearn": ["unlearn", str(config), f"name={who}", "--local"],
            "audit": ["audit", "made", f"storage={storage}", "--local", "--out", str(self.folder / f"audit-{who}")],
        }[command]

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli.entry", *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )  # fmt: skip

    def finish(self, words: list[str]) -> str:
        """Run it to its end; what it printed.

        Raises: AssertionError if it did not end well.
        """
        process = self.start(words)
        said, _ = process.communicate(timeout=900)
        self.log.append(f"$ cu {' '.join(words)}\n{said}")
        assert process.returncode == 0, "\n".join(self.log)
        assert "Traceback" not in said, "\n".join(self.log)
        return said


def kill_both(place: Place, command: str, seconds: float, counts: collections.Counter[tuple[str, str]]) -> int:
    """Start, or go on with, two of a command and kill them after so long; returns how many were killed."""
    begun = {}
    for who in ("a", "b"):
        words, folder = place.words(command, who), place.folder / "store" / "runs" / who
        if command == "unlearn" and folder.exists():
            if (folder / "result.json").exists():
                continue
            words = [*words, "--resume", who]
        begun[who] = place.start(words)
    time.sleep(seconds)
    killed = 0
    for process in begun.values():
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        said, _ = process.communicate()
        place.log.append(said)
        known = process.returncode in (0, -signal.SIGKILL) or "exists" in said
        assert known, "\n".join(place.log)
        assert "Traceback" not in said, "\n".join(place.log)
    counts[command, "killed"] += killed
    counts[command, "ended before"] += len(begun) - killed
    return killed


def whole(place: Place, command: str, who: str) -> str:
    """What a killed command left is finished by the same command, or by --resume; returns which."""
    words, store = place.words(command, who), place.folder / "store"
    if command == "unlearn" and (store / "runs" / who).exists():
        assert (store / "runs" / who / "run.json").is_file(), "a run without its record"
        if (store / "runs" / who / "result.json").exists():
            return "was finished"
        place.finish([*words, "--resume", who])
        return "resumed"
    out = {"pack": place.folder / f"out-{who}", "audit": place.folder / f"audit-{who}"}.get(command)
    if out is not None and out.exists():
        return "was finished"
    place.finish(words)
    return "begun again"


def check_end(place: Place, command: str) -> None:
    """Nothing of the killed processes is left, and what was made is whole."""
    partial = re.compile(r"\..*\.partial")
    left = [str(p) for p in (place.folder / "store").rglob("*") if partial.fullmatch(p.name)]
    assert not left, left
    for who in ("a", "b"):
        if command == "pack":
            place.finish(["data", "verify", str(place.folder / f"out-{who}")])
        if command == "unlearn":
            assert (place.folder / "store" / "runs" / who / "result.json").is_file()
        if command == "audit":
            assert (place.folder / f"audit-{who}" / "audit.json").is_file()


def test_kills(tmp_path: Path) -> None:
    generator = random.Random(int(os.environ.get("SEED", "0")))
    base = Place(tmp_path, tmp_path / "digits")
    base.finish(["data", "pack", "digits", str(base.data)])
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    killed, cycle = 0, 0
    while killed < KILLS:
        command = list(SECONDS)[cycle % len(SECONDS)]
        place = Place(tmp_path / f"{cycle}-{command}", base.data)
        place.folder.mkdir()
        if command == "audit":
            place.finish([*place.words("unlearn", "made")])
        for _ in range(ROUNDS):
            killed += kill_both(place, command, generator.uniform(0, SECONDS[command] * SPAN), counts)
        for who in ("a", "b"):
            counts[command, whole(place, command, who)] += 1
        check_end(place, command)
        cycle += 1
        write_counts(counts)


def write_counts(counts: collections.Counter[tuple[str, str]]) -> None:
    heads = ["killed", "ended before", "begun again", "resumed", "was finished"]
    lines = ["| command | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for command in SECONDS:
        lines.append(f"| {command} | " + " | ".join(str(counts[command, head]) for head in heads) + " |")
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if out := os.environ.get("KILLS_OUT"):
        Path(out).write_text(text)
