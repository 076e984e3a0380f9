"""Damaged small files of a storage: one line that names the file, or made again and said so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from cu_core import evidence
from cu_core.audit.answers import Answers
from cu_core.audit.report import ModelFigures
from cu_core.config import RunConfig
from cu_core.data.requests import load_forget_set
from cu_core.errors import DamagedFile
from cu_core.files import save_arrays
from cu_core.stored import read_stored
from pipelines.run.folder import RunFolder
from pipelines.run.lock import run_lock
from pipelines.tracking.step_log import read_steps

RUBBISH = (
    b"",
    b"[]",
    b"null",
    b"{",
    b"{}x",
    b"\xff\xfe\x00",
    b'{"a": NaN',
    b"[" * 100_000,
    b'[[1, "x"]]',
    b"ARROW1\0\0",
)


def record(path: Path) -> None:
    RunFolder(path.parent).record()


def steps(path: Path) -> None:
    read_steps(path.parent)


def forget(path: Path) -> None:
    load_forget_set(path, "x")


def answers(path: Path) -> None:
    Answers.load(path)


@pytest.mark.parametrize("content", [*RUBBISH, None], ids=lambda content: repr(content)[:12])
@pytest.mark.parametrize(
    ("name", "read"), [("run.json", record), ("steps.json", steps), ("forget.arrow", forget), ("a.npz", answers)]
)
def test_one_line_that_names_the_file(
    name: str, read: Callable[[Path], None], content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    if (name == "steps.json" and content in (b"[]", None)) or (content is None and name == "run.json"):
        pytest.skip("no damage: an empty list; a folder is no record")
    with pytest.raises(DamagedFile) as told:
        read(path)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_arrays_under_other_names_are_no_answers(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a.npz", {"x": np.zeros(3)})
    with pytest.raises(DamagedFile, match="it holds x"):
        Answers.load(tmp_path / "a.npz")


@pytest.mark.parametrize("content", RUBBISH, ids=lambda content: repr(content)[:12])
def test_a_sign_of_life_that_is_damaged_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "driver.json").write_bytes(content)
    with run_lock(tmp_path):
        pass


def test_notes_of_any_bytes_are_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "notes.txt").write_bytes(b"a \xff note\n")
    folder.note("another")
    assert folder.notes == ["a \\xff note", "another"]


def test_what_is_sound_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"a": 1}')
    kind: TypeAdapter[Any] = TypeAdapter(dict[str, int])
    assert read_stored(tmp_path / "a", kind, "") == {"a": 1}


def test_figures_that_are_damaged_are_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache: nothing is lost but the time."""
    said: list[str] = []
    figures = ModelFigures({}, {}, {})
    found = Answers(*(np.zeros((1, 2), np.float32), np.zeros(1, np.int64), *(np.zeros((1, 2), np.float32),) * 2))
    alone = SimpleNamespace(metrics=figures.metrics, curves={})
    for name, value in {
        "say": said.append, "audit_alone": lambda subject: alone, "answers_of": lambda subject: found,
        "per_class_test_accuracy": lambda subject: {}, "digests_of": lambda other: (),
    }.items():  # fmt: skip
        monkeypatch.setattr(evidence, name, value)
    config = RunConfig(storage=str(tmp_path))
    split = SimpleNamespace(halve=False, forget=SimpleNamespace(kind="class", digest="d"))
    meta = {"files": {}, "preprocess": {}}
    for _ in range(2):
        evidence.figures_of(config, split, meta, lambda: SimpleNamespace(split=split))  # type: ignore[arg-type, return-value]
    assert said == []
    (kept,) = (tmp_path / "audits").glob("*.json")
    kept.write_text("[]")
    evidence.figures_of(config, split, meta, lambda: SimpleNamespace(split=split))  # type: ignore[arg-type, return-value]
    assert f"{kept} is damaged" in said[0]
    assert kept.read_text() != "[]"
