from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.data.request_copies import copies_of
from cu_core.data.requests import ByIds, ByPredicate, ByRandom, load_forget_set, resolve_request, save_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import UserError
from tests.copies import changed, drawing, drawings, pack_files


@pytest.fixture
def data(tmp_path: Path) -> ShardReader:
    """Train rows 0 to 19 are drawings, 20 to 24 copies of row 0; a copy of row 0 is in val."""
    copies = [*changed(drawing(0)).values()]
    files = {"train": [*drawings(20), *copies], "val": [copies[0]], "test": drawings(1, 40)}
    return pack_files(tmp_path / "data", files, copy_of=dict.fromkeys(range(20, 26), 0))  # type: ignore[arg-type]


def test_the_other_training_rows_that_are_copies_are_found(data: ShardReader) -> None:
    found = copies_of(data, np.array([0, 3, 21]))
    assert found.rows.tolist() == [20, 22, 23, 24]
    assert (found.exact, found.near, found.mirrored) == (1, 2, 1)
    assert found.told == "4 (exact 1, near 2, mirrored 1)"
    assert found.notes[0].startswith("near copies: likeness at least 0.8")


def by(where: str, **duplicates: str) -> ByPredicate:
    return ByPredicate(where=where, **duplicates)  # type: ignore[arg-type]


def test_copies_are_not_looked_for_unless_that_is_asked(data: ShardReader) -> None:
    forget = resolve_request(by("sample_id == 0"), data)
    assert forget.rows.tolist() == [0]
    assert forget.copies is None
    assert forget.notes == ("0 rows have no sample_id: not matched",)


def test_reported_copies_stay_in_the_retain_set_and_are_counted(data: ShardReader) -> None:
    forget = resolve_request(by("sample_id == 0", duplicates="report"), data)
    assert forget.digest == resolve_request(by("sample_id == 0"), data).digest
    assert forget.rows.tolist() == [0]
    assert forget.copies is not None
    assert len(forget.copies.rows) == 5
    assert (
        "copies of forget rows that stay in the retain set: 5 (exact 1, near 3, mirrored 1); "
        "request.duplicates=include forgets them too"
    ) in forget.notes


def test_included_copies_are_forgotten_and_part_of_the_digest(data: ShardReader, tmp_path: Path) -> None:
    forget = resolve_request(by("sample_id == 0", duplicates="include"), data)
    assert forget.rows.tolist() == [0, 20, 21, 22, 23, 24]
    assert forget.sample_ids.tolist() == forget.rows.tolist()
    assert "copies of forget rows that are forgotten too: 5 (exact 1, near 3, mirrored 1)" in forget.notes
    assert forget.digest != resolve_request(by("sample_id == 0"), data).digest
    (tmp_path / "ids.txt").write_text("\n".join(map(str, forget.rows)))
    assert forget.digest == resolve_request(ByIds(path=str(tmp_path / "ids.txt")), data).digest
    loaded = load_forget_set(save_forget_set(tmp_path, forget), data.manifest.digest)
    assert loaded.rows.tolist() == forget.rows.tolist()


def test_a_request_without_copies_says_so(data: ShardReader) -> None:
    forget = resolve_request(ByRandom(count=1, seed=2, duplicates="report"), data)
    assert forget.rows[0] not in (0, 20, 21, 22, 23, 24)
    assert forget.notes[0] == "copies of forget rows that stay in the retain set: 0 (exact 0, near 0, mirrored 0)"


def test_copies_that_leave_nothing_to_retain_are_refused(data: ShardReader) -> None:
    with pytest.raises(UserError, match="the request forgets all 25 training rows"):
        resolve_request(by("sample_id < 20", duplicates="include"), data)
