"""A full disk is told by the path, whatever library met it."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from safetensors import SafetensorError
from sqlalchemy.exc import OperationalError

from cu_core.files import atomic_file, atomic_folder, new_folder, write_text
from cu_core.full_disk import is_full
from pipelines.errors import explain

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
SAFETENSORS = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
TORCH = RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 576 vs 534")
ARROW = OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device")


@pytest.mark.parametrize("error", [SAFETENSORS, TORCH, ARROW], ids=["safetensors", "torch", "arrow"])
def test_what_libraries_raise_is_told_by_the_target(error: Exception, tmp_path: Path) -> None:
    """As they raised it on a small tmpfs."""
    for context in (atomic_file, atomic_folder, new_folder):
        with pytest.raises(OSError, match="No space left") as told, context(tmp_path / "a"):
            raise error
        line = str(explain(told.value))
        assert line.startswith(f"the disk is full: {tmp_path / 'a'} could not be written")
        assert "--resume" in line
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        sqlite3.OperationalError("database or disk is full"),
        OperationalError("insert", {}, sqlite3.OperationalError("database or disk is full")),
        MlflowException("(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_one_line(error: Exception) -> None:
    line = str(explain(error))
    assert line.startswith("the disk is full: ")
    assert "\n" not in line


def test_an_error_that_came_from_a_full_disk_is_one() -> None:
    late = KeyError("x")
    late.__context__ = FULL
    assert is_full(late)
    late.__cause__ = late  # a ring
    assert not is_full(KeyError("x"))
    assert not is_full(OSError(errno.EACCES, "no"))


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a", "old")

    def full(descriptor: int) -> None:
        raise FULL

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as told:
        write_text(tmp_path / "a", "new")
    assert told.value.filename == str(tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"
