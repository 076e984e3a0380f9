from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.data.requests import ForgetSet
from cu_core.errors import DamagedFile
from cu_core.types import RequestKind
from pipelines.requests.asked import Asked, fingerprint, keep_asked, read_asked, union_of, without
from pipelines.requests.places import Places
from pipelines.requests.salted import Salt

ASKED = Asked({"kind": "by_class", "classes": [5]}, "asked by mail", "abc", ("a note",))


def forget(kind: RequestKind, classes: tuple[int, ...], *rows: int) -> ForgetSet:
    return ForgetSet(kind, classes, np.array(rows, np.int64), 100 + np.array(rows, np.int64), "d")


def test_what_was_asked_is_for_its_owner_and_the_ledger_has_hashes(tmp_path: Path) -> None:
    places = Places(tmp_path, "faces")
    token = keep_asked(places, ASKED, ["ff", "00"])
    assert read_asked(places, token) == ASKED
    assert places.asked_file(token).stat().st_mode & 0o777 == 0o600
    assert places.rows_file(token).read_text() == "ff\n00\n"
    assert not places.asked_file(token).is_relative_to(places.ledger.folder)
    places.asked_file(token).unlink()
    with pytest.raises(DamagedFile, match="is missing"):
        read_asked(places, token)


def test_a_request_has_another_fingerprint_under_another_salt() -> None:
    one, other = (fingerprint(Salt(secret * 32), ASKED) for secret in (b"a", b"b"))
    assert len(one) == 64
    assert one != other


def test_a_union_is_of_classes_if_every_part_is() -> None:
    classes = union_of([forget("class", (5,), 1, 4), forget("class", (3,), 0, 2)])
    assert classes is not None
    assert (classes.kind, classes.classes, classes.rows.tolist()) == ("class", (3, 5), [0, 1, 2, 4])
    mixed = union_of([forget("class", (5,), 1, 4), forget("sample", (), 4, 9)])
    assert mixed is not None
    assert (mixed.kind, mixed.classes, mixed.rows.tolist()) == ("sample", (), [1, 4, 9])
    assert mixed.sample_ids.tolist() == [101, 104, 109]
    assert union_of([]) is None


def test_rows_that_are_gone_are_left_out() -> None:
    rest = without(forget("sample", (), 1, 4, 9), forget("class", (5,), 4))
    assert (rest.rows.tolist(), rest.sample_ids.tolist()) == ([1, 9], [101, 109])
    assert without(rest, None).rows.tolist() == [1, 9]
