"""Certificates, status and replay after rows were dropped from the data, on purpose or not."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cu_core.data.drop import drop_rows, rewriting
from cu_core.data.row_selection import select_where
from cu_core.data.schema import read_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError
from pipelines.requests.intake import add_request
from pipelines.requests.issue import issue
from pipelines.requests.listing import status_lines
from pipelines.requests.replay import replay
from pipelines.requests.verify import Verified, verify
from tests.unit.pipelines.requests.answered import answer_all, now
from tests.unit.pipelines.requests.conftest import Answered
from tests.unit.pipelines.requests.test_drop import dropped


def checked(answered: Answered) -> Verified:
    return verify(answered.certificate, answered.store, answered.key)


def status(answered: Answered) -> list[str]:
    lines = status_lines(answered.places, now(answered.places), None, datetime.date(2026, 1, 1))
    return [line for line in lines if line.startswith("data: ")]


def test_a_certificate_from_before_a_drop_on_purpose_is_sound_and_says_which_version_was_used(
    answered: Answered,
) -> None:
    before = read_manifest(answered.folder / "data").digest
    entry = dropped(answered.places, "faces-1")
    found = checked(answered)
    assert found.problems == []
    (note,) = found.notes
    rows = f"{entry.fields['rows']} training rows of faces-1 were dropped on purpose in entry 8"
    assert note.startswith(f"data: version {before} was used; {rows}")
    assert note.endswith(f"the present one, {entry.fields['digest']}, was compared")
    (line,) = status(answered)
    assert line.startswith(f"data: {rows}")


def test_what_used_the_data_of_before_cannot_be_replayed_and_that_is_told(answered: Answered) -> None:
    dropped(answered.places, "faces-1")
    with pytest.raises(
        ConfigError,
        match=r"--replay: the run used data that are not there .* of faces-1 were dropped on purpose in entry 8",
    ) as raised:
        replay(answered.places, 7)
    assert str(raised.value).endswith("only a copy of the data of before, in that place, has them.")


def test_after_two_drops_each_certificate_names_those_that_came_after_it(answered: Answered) -> None:
    dropped(answered.places, "faces-1")
    add_request(answered.places, {"kind": "by_class", "classes": [6]})
    answer_all(answered.places)
    file, _ = issue(answered.places, "faces-3", None)
    assert verify(file, answered.store, None).problems == []
    dropped(answered.places, "faces-2")
    late, early = verify(file, answered.store, None), checked(answered)
    assert late.problems == early.problems == []
    assert "of faces-1" not in late.notes[-1]
    assert "of faces-2 were dropped on purpose in entry 12" in late.notes[-1]
    assert "of faces-1 were dropped" in early.notes[-1]
    assert "of faces-2 were dropped" in early.notes[-1]


def change_manifest(answered: Answered) -> None:
    path = answered.folder / "data" / "manifest.json"
    path.write_text(path.read_text().replace('"digits"', '"others"'))


def change_shard(answered: Answered) -> None:
    path = next((answered.folder / "data").glob("train-*.v1.arrow"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "said"), [(change_manifest, "manifest.json was changed"), (change_shard, "data: shard train-")]
)
def test_after_a_drop_the_present_data_are_compared(
    answered: Answered, change: Callable[[Answered], None], said: str
) -> None:
    dropped(answered.places, "faces-1")
    change(answered)
    (problem,) = checked(answered).problems
    assert said in problem


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ((), "without --request, which no entry of this model's ledger records"),
        (("second-4",), "for second-4, which no entry of this model's ledger records"),
        (("faces-1",), "were dropped for faces-1, and the command was ended before it entered that"),
    ],
)
def test_rows_that_went_without_an_entry_are_a_problem_that_says_how_they_went(
    answered: Answered, requests: tuple[str, ...], said: str
) -> None:
    folder = answered.folder / "data"
    with rewriting(folder):
        reader = ShardReader(folder)
        drop_rows(reader, select_where(reader, "label == 5"), None, requests)
    (problem,) = checked(answered).problems
    assert problem.startswith("data: ")
    assert said in problem
    assert said in status(answered)[0]
    with pytest.raises(ConfigError) as raised:
        add_request(answered.places, {"kind": "by_class", "classes": [6]})
    assert said in str(raised.value)


def test_data_of_before_that_came_back_are_told(answered: Answered, tmp_path: Path) -> None:
    folder = answered.folder / "data"
    shutil.copytree(folder, tmp_path / "backup")
    dropped(answered.places, "faces-1")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    found = checked(answered)
    assert found.problems == []
    assert found.notes[0].endswith(f"but {folder} holds them again")
    with pytest.raises(ConfigError, match="these are the data of before, although .* bring the later version back"):
        add_request(answered.places, {"kind": "by_class", "classes": [6]})
    assert "these are the data of before" in status(answered)[1]
