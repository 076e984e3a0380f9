from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cu_core.data.shard_writer import Chunk, ShardWriter
from cu_core.errors import DamagedFile
from pipelines.requests.contained import contains
from pipelines.requests.intake import add_request
from tests.unit.pipelines.requests.answered import now, opened


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Training rows 0 to 29, three a user; ids are the row numbers."""
    with ShardWriter(tmp_path / "people", "people", ["a", "b"], "test") as writer:
        for split, first, count in (("train", 0, 30), ("val", 100, 30), ("test", 200, 10)):
            ids = np.arange(first, first + count)
            extra = pa.table({"user": [f"u{i // 3}" for i in ids]})
            images = np.zeros((count, 1, 8, 8), np.uint8)
            writer.add(Chunk(split, images, ids % 2, ids, extra))  # type: ignore[arg-type]
        writer.finish()
    return tmp_path / "people"


def test_an_id_can_be_shown_to_be_in_a_request(tmp_path: Path, people: Path) -> None:
    places = opened(tmp_path, people)
    (tmp_path / "users.csv").write_text("user\nu2\nu5\n")
    add_request(places, {"kind": "by_id", "path": str(tmp_path / "users.csv"), "column": "user"})
    state = now(places)
    assert [contains(places, state, "faces-1", v) for v in ("u2", "u5", "u3", "u")] == [True, True, False, False]
    assert [contains(places, state, "faces-1", v) for v in ("6", "8", "9", "17", "2")] == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_hashes_that_were_changed_prove_nothing(tmp_path: Path, people: Path) -> None:
    places = opened(tmp_path, people)
    add_request(places, {"kind": "by_predicate", "where": "user == 'u2'"})
    state = now(places)
    assert contains(places, state, "faces-1", "6")
    places.rows_file(state.requests["faces-1"].received.fields["token"]).write_text("")
    with pytest.raises(DamagedFile, match="the keyed hashes of faces-1"):
        contains(places, state, "faces-1", "6")
