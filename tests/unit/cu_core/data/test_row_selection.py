from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cu_core.data.requests import ByClass, ByIds, resolve_request, save_forget_set
from cu_core.data.row_selection import select_ids, select_training_rows, select_where
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import Chunk, ShardWriter
from cu_core.errors import UserError


def test_ids_are_found_in_every_split_and_absent_ones_are_told(reader: ShardReader, tmp_path: Path) -> None:
    wanted = [int(reader.sample_ids(split, np.array([2]))[0]) for split in ("train", "val", "test")]
    (tmp_path / "ids.txt").write_text("\n".join(map(str, [*wanted, 10**9])))
    found = select_ids(reader, ByIds(path=str(tmp_path / "ids.txt")))
    assert found.counts == {"train": 1, "val": 1, "test": 1}
    assert found.total == 3
    assert found.notes == ("1 of 4 ids are in no split: 1000000000",)


def test_the_forget_set_of_a_run_is_a_list_of_ids(reader: ShardReader, tmp_path: Path) -> None:
    forget = resolve_request(ByClass(classes=(5,)), reader)
    path = save_forget_set(tmp_path, forget)
    assert select_ids(reader, ByIds(path=str(path))).counts == {"train": len(forget.rows)}
    again = resolve_request(ByIds(path=str(path)), reader)
    np.testing.assert_array_equal(again.rows, forget.rows)


def test_an_expression_selects_rows_of_every_split(reader: ShardReader) -> None:
    expected = {s: int((reader.labels(s, np.arange(reader.num_rows(s))) == 5).sum()) for s in ("train", "val", "test")}
    assert select_where(reader, "label == 5").counts == expected


@pytest.mark.parametrize(("where", "message"), [
    ("label == 77", "no row of .* matches 'label == 77'"),
    ("labels == 5", "no column 'labels'; did you mean 'label'"),
])  # fmt: skip
def test_what_selects_nothing_is_refused(reader: ShardReader, where: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        select_where(reader, where)


def test_a_list_of_unknown_ids_is_refused(reader: ShardReader, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("1000000000\n1000000001")
    with pytest.raises(UserError, match="none of its 2 ids is in"):
        select_ids(reader, ByIds(path=str(tmp_path / "ids.txt")))


def test_the_training_rows_of_a_forget_set_are_found_and_must_be_as_many(reader: ShardReader) -> None:
    ids = resolve_request(ByClass(classes=(5,)), reader).sample_ids
    found = select_training_rows(reader, ids)
    assert (found.counts, found.total) == ({"train": len(ids)}, len(ids))
    held_out = reader.sample_ids("val", np.array([0]))
    with pytest.raises(UserError, match=f"has {len(ids)} training rows with the ids of {len(ids) + 1} forgotten rows"):
        select_training_rows(reader, np.concatenate([ids, held_out]))


def test_rows_without_a_value_stay_and_are_counted(tmp_path: Path) -> None:
    users = pa.array([1.0, 2.0, None, float("nan"), 1.0, 2.0])
    with ShardWriter(tmp_path / "set", "set", ["a", "b"], "test") as writer:
        ids = np.arange(6)
        writer.add(Chunk("train", np.zeros((6, 1, 8, 8), np.uint8), ids % 2, ids, pa.table({"user": users})))
        writer.finish()
    found = select_where(ShardReader(tmp_path / "set"), "user != 1")
    assert [rows.tolist() for batches in found.rows.values() for rows in batches] == [[1, 5]]
    assert found.notes == ("2 rows have no user: not matched",)
