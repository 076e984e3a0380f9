"""Files that are whole or absent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cu_core import files
from cu_core.files import atomic_file, atomic_folder, new_folder, write_text
from cu_core.leftovers import machine


def test_a_new_folder_never_replaces_another(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a") as partial:
        (partial / "x").write_text("first")
    with pytest.raises(FileExistsError), new_folder(tmp_path / "a") as partial:
        (partial / "x").write_text("second")
    assert (tmp_path / "a" / "x").read_text() == "first"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with atomic_folder(tmp_path / "a") as partial:
            (partial / name).touch()
    assert os.listdir(tmp_path / "a") == ["second"]


def test_a_folder_that_another_process_made_meanwhile_stays(tmp_path: Path) -> None:
    """It may be read already."""
    with atomic_folder(tmp_path / "a") as partial:
        (partial / "who").write_text("we")
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "who").write_text("they")
        theirs = (tmp_path / "a" / "who").stat().st_ino
    assert (tmp_path / "a" / "who").stat().st_ino == theirs
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_replaced_is_whole_until_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is moved away, not emptied; if the new one cannot be named, it comes back."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "who").write_text("old")
    rename, seen = Path.rename, []

    def fails(self: Path, to: Path) -> Path:
        if to.name == "a" and "old" not in self.name:
            seen.append(sorted(path.read_text() for path in tmp_path.rglob("who")))
            raise OSError(5, "no")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="no"), atomic_folder(tmp_path / "a") as partial:
        (partial / "who").write_text("new")
    assert seen == [["new", "old"]]
    assert (tmp_path / "a" / "who").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_killed_writer_leaves_nothing_for_long(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from cu_core.files import atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1])): print('in', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    assert os.listdir(tmp_path) == [f".a.{machine()}-{process.pid}.partial"]
    write_text(tmp_path / "b", "text")
    assert os.listdir(tmp_path) == ["b"]


def test_content_is_on_the_disk_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        done.append(f"sync {os.path.basename(os.readlink(f'/proc/self/fd/{descriptor}'))}")
        sync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        done.append("rename")
        return replace(path, target)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    with atomic_file(tmp_path / "a") as partial:
        partial.write_text("x")
    assert done == [f"sync {partial.name}", "rename", f"sync {tmp_path.name}"]


def test_a_synced_write_takes_milliseconds(tmp_path: Path) -> None:
    """The steps of a run are written every five seconds."""
    began = time.perf_counter()
    for _ in range(5):
        write_text(tmp_path / "steps.json", "x" * 100_000)
    assert (time.perf_counter() - began) / 5 < 0.25


def test_text_is_utf8_in_every_locale(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cu_core.files import write_text\n"
        "write_text(Path(sys.argv[1]), chr(233))"
    )
    env = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], env=env, check=True)
    assert (tmp_path / "a").read_bytes() == "é".encode()
