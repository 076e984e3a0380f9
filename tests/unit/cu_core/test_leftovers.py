"""What a process that was killed left is swept; what a living one writes is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cu_core.leftovers import DAY, machine, partial_name, sweep


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("folder", [True, False])
@pytest.mark.parametrize(
    ("owner", "age", "left"),
    [("dead", 0, False), ("alive", 9 * DAY, True), ("elsewhere", 0.9 * DAY, True), ("elsewhere", 1.1 * DAY, False)],
)
def test_what_is_swept(folder: bool, owner: str, age: float, left: bool, tmp_path: Path) -> None:
    tag = "0" * 8 if owner == "elsewhere" else machine()
    path = tmp_path / "models" / f".a.b.{tag}-{os.getpid() if owner == 'alive' else dead_pid()}.partial"
    path.parent.mkdir()
    inner = path / "weights" if folder else path
    if folder:
        path.mkdir()
    inner.write_text("half")
    for part in (inner, path):
        os.utime(part, (time.time() - age,) * 2)
    assert sweep(tmp_path) == 0
    assert sweep(tmp_path, 1) == 1 - left
    assert path.exists() is left


def test_names_of_others_are_left(tmp_path: Path) -> None:
    for name in ("a.partial", ".a.partial", ".a.123.partial", "notes.txt", f".a.{machine()}-1.whole"):
        (tmp_path / name).touch()
    assert sweep(tmp_path) == 0
    assert sweep(tmp_path / "absent") == 0


def test_a_process_writes_under_its_own_name(tmp_path: Path) -> None:
    assert partial_name(tmp_path / "a").name == f".a.{machine()}-{os.getpid()}.partial"
