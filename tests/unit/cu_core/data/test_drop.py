from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cu_core.data import drop
from cu_core.data.convert import SplitPlan, pack
from cu_core.data.drop import drop_rows, rewriting
from cu_core.data.requests import ByIds, ByPredicate, resolve_request
from cu_core.data.row_selection import select_ids, select_where
from cu_core.data.schema import SPLITS, read_manifest, write_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import Chunk, write_shards
from cu_core.data.sources import SourceOptions
from cu_core.data.verify import verify
from cu_core.errors import DataError, UserError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Train rows 0 to 39 in 4 shards, val 100 to 109, test 200 to 209; a user for every five rows, twice the id."""

    def chunks() -> object:
        for split, first, count in (("train", 0, 40), ("val", 100, 10), ("test", 200, 10)):
            ids = np.arange(first, first + count)
            users = pa.array([f"user {i // 5}" for i in ids]).dictionary_encode()
            extra = pa.table({"user": users, "twice": ids * 2})
            images = (ids[:, None, None, None] + np.zeros((1, 1, 4, 4), np.int64)).astype(np.uint8)
            yield Chunk(split, images, ids % 2, ids, extra)  # type: ignore[arg-type]

    write_shards(tmp_path / "data", "numbers", ["even", "odd"], "a test", chunks(), shard_rows=10)  # type: ignore[arg-type]
    return tmp_path / "data"


def listed(folder: Path, *ids: int) -> ByIds:
    path = folder.parent / "ids.txt"
    path.write_text("\n".join(map(str, ids)))
    return ByIds(path=str(path))


def ids_in(folder: Path) -> list[int]:
    reader = ShardReader(folder)
    return [int(i) for split in SPLITS for _, ids in reader.scan(split, "sample_id") for i in ids]


def drop_in_place(folder: Path, *ids: int) -> None:
    with rewriting(folder):
        reader = ShardReader(folder)
        drop_rows(reader, select_ids(reader, listed(folder, *ids)))


def test_rows_go_and_the_others_are_as_they_were(data: Path) -> None:
    before = ShardReader(data).images("train", np.arange(40))
    kept_files = {p.name: p.stat().st_mtime_ns for p in data.glob("*.arrow")}
    drop_in_place(data, 3, 17, 205)
    after = ShardReader(data)
    left = sorted(set(ids_in(data)))
    assert left == [i for i in [*range(40), *range(100, 110), *range(200, 210)] if i not in (3, 17, 205)]
    assert after.labels("train", np.arange(38)).tolist() == [i % 2 for i in left[:38]]
    rest = np.setdiff1d(np.arange(40), [3, 17])
    assert (after.images("train", np.arange(38)) == before[rest]).all()
    assert verify(data, lambda done, total: None) == []
    same = [p.name for p in data.glob("*.arrow") if kept_files.get(p.name) == p.stat().st_mtime_ns]
    assert sorted(same) == ["train-00002.arrow", "train-00003.arrow", "val-00000.arrow"]


def test_a_rewritten_shard_holds_no_value_of_a_dropped_row(data: Path) -> None:
    with rewriting(data):
        reader = ShardReader(data)
        drop_rows(reader, select_where(reader, "user == 'user 3'"))
    written = (data / "train-00001.v1.arrow").read_bytes()  # a dictionary that was kept would hold user 3
    assert b"user 2" in written
    assert b"user 3" not in written


def test_the_manifest_names_its_parent_and_counts_what_was_dropped(data: Path) -> None:
    first = read_manifest(data).digest
    drop_in_place(data, 3, 205)
    second = read_manifest(data)
    assert second.digest != first
    assert [(step.parent, step.rows) for step in second.dropped] == [(first, {"train": 1, "test": 1})]
    drop_in_place(data, 4)
    third = read_manifest(data)
    assert [step.parent for step in third.dropped] == [first, second.digest]
    assert {p.name for p in data.glob("*.arrow")} == {s.path for s in third.shards}


def test_later_requests_by_id_name_the_same_rows(data: Path) -> None:
    drop_in_place(data, 0, 1, 2, 11)
    reader = ShardReader(data)
    assert resolve_request(listed(data, 12, 39), reader).sample_ids.tolist() == [12, 39]
    assert resolve_request(ByPredicate(where="twice >= 74"), reader).sample_ids.tolist() == [37, 38, 39]
    with pytest.raises(UserError, match="1 of 2 ids are not in the training split, e.g. 11"):
        resolve_request(listed(data, 11, 12), reader)


def test_a_shard_without_rows_is_dropped_whole(data: Path) -> None:
    drop_in_place(data, *range(10, 20))
    assert [s.path for s in read_manifest(data).split_shards("train")] == [
        "train-00000.arrow", "train-00002.arrow", "train-00003.arrow",
    ]  # fmt: skip
    assert ids_in(data)[:12] == [*range(10), 20, 21]
    assert not (data / "train-00001.arrow").exists()


def test_all_training_rows_are_refused(data: Path) -> None:
    with pytest.raises(UserError, match="all 40 training rows would be dropped"):
        drop_in_place(data, *range(40))
    assert len(ids_in(data)) == 60


def test_a_new_folder_leaves_the_old_one(data: Path, tmp_path: Path) -> None:
    reader = ShardReader(data)
    manifest = drop_rows(reader, select_ids(reader, listed(data, 3)), tmp_path / "new")
    assert len(ids_in(data)) == 60
    assert sorted(set(range(60)) - set(ids_in(tmp_path / "new"))) == [3, *range(40, 60)]
    assert manifest.dropped[0].parent == reader.manifest.digest
    with pytest.raises(DataError, match="already exists"):
        drop_rows(reader, select_ids(reader, listed(data, 3)), tmp_path / "new")


def registered(data: Path, tmp_path: Path) -> Path:
    files = tmp_path / "files"
    files.mkdir()
    for path in data.glob("*.arrow"):
        shutil.copy(path, files)
    pack(f"arrow:{files}", tmp_path / "registered", SplitPlan(0, 0), SourceOptions(), lambda done, total: None)
    return tmp_path / "registered"


def test_files_of_the_user_are_not_rewritten_but_written_anew(data: Path, tmp_path: Path) -> None:
    folder = registered(data, tmp_path)
    with (
        pytest.raises(UserError, match="registers Arrow files that lie elsewhere; they are not changed"),
        rewriting(folder),
    ):
        pass
    reader = ShardReader(folder)
    drop_rows(reader, select_ids(reader, listed(data, 3, 104)), tmp_path / "new")
    assert verify(tmp_path / "new", lambda done, total: None) == []
    assert len(ids_in(folder)) == 60
    assert len(ids_in(tmp_path / "new")) == 58
    assert not [s.path for s in read_manifest(tmp_path / "new").shards if Path(s.path).is_absolute()]
    drop_in_place(tmp_path / "new", 5)  # those are ours
    assert len(ids_in(tmp_path / "new")) == 57


@pytest.mark.parametrize("point", ["write_manifest", "_delete_leftovers"])
def test_a_kill_leaves_the_old_data_or_the_new_and_the_next_drop_cleans_up(
    data: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    class Killed(BaseException):
        pass

    def killed(*args: object) -> None:
        raise Killed

    whole = ids_in(data)
    with monkeypatch.context() as patch, rewriting(data):
        reader = ShardReader(data)
        chosen = select_ids(reader, listed(data, 3, 17))
        patch.setattr(drop, point, killed)
        with pytest.raises(Killed):
            drop_rows(reader, chosen)
    assert len(list(data.glob("*.arrow"))) == 8
    left = ["train-00000", "train-00001"] if point == "_delete_leftovers" else ["train-00000.v1", "train-00001.v1"]
    assert verify(data, lambda done, total: None) == [
        f"{name}.arrow is left of an earlier version and may hold rows that were dropped: "
        "drop them again, or delete it."
        for name in left
    ]
    expected = whole if point == "write_manifest" else [i for i in whole if i not in (3, 17)]
    assert ids_in(data) == expected
    with rewriting(data) as num_deleted:
        assert num_deleted == 2
    assert {p.name for p in data.glob("*.arrow")} == {s.path for s in read_manifest(data).shards}
    assert ids_in(data) == expected


def test_one_process_at_a_time_rewrites(data: Path) -> None:
    with (
        rewriting(data),
        pytest.raises(UserError, match="is being rewritten by another process"),
        rewriting(data),
    ):
        pass


def test_a_manifest_cannot_have_other_files_deleted(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    drop_in_place(data, 3)
    manifest = read_manifest(data)
    write_manifest(data, replace(manifest, dropped=(replace(manifest.dropped[0], files=("../mine.txt",)),)))
    with pytest.raises(DataError, match=r"the dropped file '../mine.txt' must be a plain name"), rewriting(data):
        pass
    assert (tmp_path / "mine.txt").exists()


def test_the_digest_of_data_as_they_were_packed_has_not_changed(data: Path) -> None:
    stored = json.loads((data / "manifest.json").read_text())
    del stored["dropped"]
    (data / "manifest.json").write_text(json.dumps(stored))
    assert read_manifest(data).digest == ShardReader(data).manifest.digest
    assert read_manifest(data).dropped == ()
