from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cu_core.data.order import EpochOrder
from cu_core.data.requests import (
    ByClass,
    ByIds,
    ByPredicate,
    ByRandom,
    ForgetRequest,
    ForgetSet,
    load_forget_set,
    resolve_request,
    save_forget_set,
)
from cu_core.data.schema import SPLITS, write_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import Chunk, ShardWriter
from cu_core.errors import DataError, UserError


def test_by_class_is_every_row_of_the_class(reader: ShardReader) -> None:
    forget = resolve_request(ByClass(classes=(5, 3)), reader)
    labels = reader.labels("train", np.arange(reader.num_rows("train")))
    np.testing.assert_array_equal(forget.rows, np.flatnonzero((labels == 5) | (labels == 3)))
    assert (forget.kind, forget.classes) == ("class", (3, 5))


def test_classes_are_named_by_number_or_by_name(reader: ShardReader) -> None:
    """Digits: class 3 is called 3."""
    by_name, by_number = (resolve_request(ByClass(classes=(c,)), reader) for c in ("3", 3))
    assert by_name.digest == by_number.digest
    with pytest.raises(UserError, match="'3' and 3 are the same class, 3 '3'; name it once"):
        resolve_request(ByClass(classes=("3", 3, 5)), reader)


def test_by_random_has_the_count_and_depends_on_the_seed(reader: ShardReader) -> None:
    first, again, other = (resolve_request(ByRandom(count=100, seed=s), reader) for s in (1, 1, 2))
    assert len(np.unique(first.rows)) == 100
    assert first.digest == again.digest != other.digest
    share = [len(resolve_request(ByRandom(frac=0.25, seed=s), reader).rows) for s in range(2)]
    assert share == [270, 270]
    means = [resolve_request(ByRandom(count=100, seed=s), reader).rows.mean() for s in range(40)]
    assert abs(np.mean(means) - 539) < 25  # truly random: no half of the rows is preferred


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".parquet"])
def test_by_ids_reads_text_csv_and_parquet(reader: ShardReader, tmp_path: Path, suffix: str) -> None:
    ids = reader.sample_ids("train", np.array([7, 9, 800]))
    path = tmp_path / f"ids{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"sample_id": ids}), path)
    else:
        path.write_text("\n".join((["sample_id"] if suffix == ".csv" else []) + [str(i) for i in ids]))
    forget = resolve_request(ByIds(path=str(path)), reader)
    np.testing.assert_array_equal(forget.rows, [7, 9, 800])
    assert forget.kind == "sample"


def test_by_predicate_is_evaluated_on_columns(reader: ShardReader) -> None:
    forget = resolve_request(ByPredicate(where="label == 2 and sample_id < 500"), reader)
    labels, ids = (getattr(reader, f)("train", np.arange(reader.num_rows("train"))) for f in ("labels", "sample_ids"))
    np.testing.assert_array_equal(forget.rows, np.flatnonzero((labels == 2) & (ids < 500)))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ByClass(classes=(12,)), "class 12 does not exist; classes: 0, 1"),
        (ByClass(classes=("33",)), "class 33 does not exist; did you mean '3'"),
        (ByClass(classes=tuple(range(10))), "forgets all 1079 training rows"),
        (ByPredicate(where="label == 77"), "forgets nothing"),
        (ByPredicate(where="label == 'five'"), "does not fit the columns"),
        (ByRandom(count=5000), "between 1 and 1078"),
        (ByIds(path="/nowhere.txt"), "no file /nowhere.txt"),
    ],
)
def test_requests_that_cannot_be_met(reader: ShardReader, request_: ForgetRequest, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_request(request_, reader)


def test_ids_that_are_not_there_are_named(reader: ShardReader, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("999999\n")
    with pytest.raises(ValueError, match="1 of 1 ids are not in the training split, e.g. 999999"):
        resolve_request(ByIds(path=str(tmp_path / "ids.txt")), reader)
    (tmp_path / "ids.txt").write_text("seven\n")
    with pytest.raises(
        ValueError, match="the ids of this data are whole numbers of 64 bits, 1 of 1 in the list are none: 'seven'"
    ):
        resolve_request(ByIds(path=str(tmp_path / "ids.txt")), reader)


def test_saved_requests_are_the_same_and_belong_to_their_data(reader: ShardReader, tmp_path: Path) -> None:
    forget = resolve_request(ByClass(classes=(5,)), reader)
    path = save_forget_set(tmp_path, forget)
    assert path == save_forget_set(tmp_path, forget)
    again = load_forget_set(path, reader.manifest.digest)
    assert again.digest == forget.digest
    with pytest.raises(DataError, match="resolved on other data"):
        load_forget_set(path, "another digest")


def test_random_rows_are_the_first_of_the_order_of_their_seed(reader: ShardReader) -> None:
    total = reader.num_rows("train")
    for seed in (0, 7):
        forget = resolve_request(ByRandom(count=30, seed=seed), reader)
        np.testing.assert_array_equal(forget.rows, np.sort(EpochOrder(total, seed).at(0, 30)))
        np.testing.assert_array_equal(forget.sample_ids, reader.sample_ids("train", forget.rows))
        assert (forget.kind, forget.classes, forget.data_digest) == ("sample", (), reader.manifest.digest)
    assert len(resolve_request(ByRandom(frac=0.1, seed=1), reader).rows) == round(0.1 * total)


def test_the_digest_is_of_kind_classes_ids_and_data() -> None:
    rows, ids = np.array([1, 2]), np.array([11, 12])
    one = ForgetSet("class", (0,), rows, ids, "data")
    others = [
        ForgetSet("sample", (0,), rows, ids, "data"),
        ForgetSet("class", (1,), rows, ids, "data"),
        ForgetSet("class", (0,), rows, np.array([11, 13]), "data"),
        ForgetSet("class", (0,), rows, ids, "other"),
    ]
    assert len({f.digest for f in (one, *others)}) == 5
    assert ForgetSet("class", (0,), rows[::-1], ids[::-1], "data").digest == one.digest


def test_a_saved_request_is_whole(reader: ShardReader, tmp_path: Path) -> None:
    for asked in (ByClass(classes=(5, 3)), ByRandom(count=7, seed=2)):
        forget = resolve_request(asked, reader)
        again = load_forget_set(save_forget_set(tmp_path, forget), reader.manifest.digest)
        np.testing.assert_array_equal(again.rows, forget.rows)
        np.testing.assert_array_equal(again.sample_ids, forget.sample_ids)
        assert (again.kind, again.classes) == (forget.kind, forget.classes)


def test_a_request_that_was_changed_is_not_loaded(reader: ShardReader, tmp_path: Path) -> None:
    forget = resolve_request(ByRandom(count=7, seed=2), reader)
    path = save_forget_set(tmp_path, forget)
    table = pa.ipc.open_file(str(path)).read_all()
    ids = table["sample_id"].to_numpy().copy()
    ids[0] += 1
    changed = table.set_column(0, "sample_id", pa.array(ids))
    with pa.ipc.new_file(str(tmp_path / "changed.arrow"), changed.schema) as out:
        out.write_table(changed)
    with pytest.raises(DataError, match="is damaged"):
        load_forget_set(tmp_path / "changed.arrow", reader.manifest.digest)


def test_ids_are_looked_for_among_training_rows_and_named_once(reader: ShardReader, tmp_path: Path) -> None:
    train, test = (reader.sample_ids(split, np.array([4])) for split in ("train", "test"))
    (tmp_path / "ids.txt").write_text(f"{train[0]}\n{train[0]}\n")
    np.testing.assert_array_equal(resolve_request(ByIds(path=str(tmp_path / "ids.txt")), reader).rows, [4])
    (tmp_path / "ids.txt").write_text(f"{train[0]}\n{test[0]}\n999999\n")
    told = f"2 of 3 ids are not in the training split, e.g. {test[0]}, 999999. Of those, 0 are in val and 1 are in test"
    with pytest.raises(ValueError, match=told):
        resolve_request(ByIds(path=str(tmp_path / "ids.txt")), reader)


@pytest.mark.parametrize("values", [{}, {"count": 3, "frac": 0.1}, {"frac": 0.0}, {"frac": 1.0}])
def test_a_random_request_says_how_many_in_one_way(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"count and frac|\(0, 1\)"):
        ByRandom(**values)  # type: ignore[arg-type]


def test_one_row_may_be_forgotten_and_all_but_one(reader: ShardReader) -> None:
    total = reader.num_rows("train")
    for count in (1, total - 1):
        assert len(resolve_request(ByRandom(count=count), reader).rows) == count
    for count in (0, total):
        with pytest.raises(ValueError, match=f"between 1 and {total - 1}"):
            resolve_request(ByRandom(count=count), reader)


@pytest.fixture
def owned(tmp_path: Path) -> ShardReader:
    """Twelve training rows of four users, one of whom is unknown, with ids that are texts beside the numbers."""
    with ShardWriter(tmp_path / "owned", "owned", ["a", "b"], "test", shard_rows=5) as writer:
        for number, split in enumerate(SPLITS):
            ids = np.arange(12) + 100 * number
            users = pa.array([[1, 2, None, 4][i % 4] for i in range(12)])
            names = pa.array([f"img_{i:03}" for i in ids])
            extra = pa.table({"user": users, "own_id": names, "twice": pa.array(["x"] * 12)})
            writer.add(Chunk(split, np.zeros((12, 1, 8, 8), np.uint8), ids % 2, ids, extra))
        writer.finish()
    return ShardReader(tmp_path / "owned")


def test_rows_without_a_value_are_counted_and_can_be_asked_for(owned: ShardReader) -> None:
    forget = resolve_request(ByPredicate(where="user != 1"), owned)
    np.testing.assert_array_equal(forget.rows, [1, 3, 5, 7, 9, 11])
    assert forget.notes == ("3 rows have no user: not matched",)
    both = resolve_request(ByPredicate(where="user != 1 or user is null"), owned)
    np.testing.assert_array_equal(both.rows, [1, 2, 3, 5, 6, 7, 9, 10, 11])
    assert both.notes == ("0 rows have no user: not matched",)
    assert resolve_request(ByPredicate(where="user is null"), owned).notes == ()
    with pytest.raises(UserError, match="no training row matches 'user == 9'; 3 rows have no user: not matched"):
        resolve_request(ByPredicate(where="user == 9"), owned)
    with pytest.raises(UserError, match="no training row matches 'own_id is null'\\.$"):
        resolve_request(ByPredicate(where="own_id is null"), owned)


@pytest.mark.parametrize("where", ["user == own_id", "user == 'x'", "user < twice"])
def test_values_and_columns_of_other_types_are_refused(owned: ShardReader, where: str) -> None:
    with pytest.raises(UserError, match="does not fit the columns"):
        resolve_request(ByPredicate(where=where), owned)


def test_a_list_may_name_the_rows_by_another_column(owned: ShardReader, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user,since\n1,2024\n4,2023\n")
    forget = resolve_request(ByIds(path=str(tmp_path / "users.csv"), column="user"), owned)
    np.testing.assert_array_equal(forget.rows, [0, 3, 4, 7, 8, 11])
    (tmp_path / "names.csv").write_text("own_id\nimg_003\nimg_007\n")
    named = resolve_request(ByIds(path=str(tmp_path / "names.csv"), column="own_id"), owned)
    np.testing.assert_array_equal(named.rows, [3, 7])
    with pytest.raises(UserError, match="no column 'usr'; columns: 'sample_id', 'user', 'own_id', 'twice'"):
        resolve_request(ByIds(path=str(tmp_path / "users.csv"), column="usr"), owned)


def test_ids_that_stand_there_again_are_taken_once_and_told(owned: ShardReader, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("3\n5\n3\n")
    forget = resolve_request(ByIds(path=str(tmp_path / "ids.txt")), owned)
    np.testing.assert_array_equal(forget.rows, [3, 5])
    assert forget.notes == (f"1 ids of {tmp_path / 'ids.txt'} stand there before: each is taken once",)


def test_own_ids_that_two_rows_have_are_refused(owned: ShardReader, tmp_path: Path) -> None:
    write_manifest(owned.folder, replace(owned.manifest, columns={"own_id": "own_id"}))
    (tmp_path / "ids.txt").write_text("img_003\nimg_007\n")
    forget = resolve_request(ByIds(path=str(tmp_path / "ids.txt")), ShardReader(owned.folder))
    np.testing.assert_array_equal(forget.sample_ids, [3, 7])
    write_manifest(owned.folder, replace(owned.manifest, columns={"own_id": "twice"}))
    (tmp_path / "ids.txt").write_text("x\n")
    with pytest.raises(UserError, match="11 ids are found twice in the training split: 'x'; mend the data"):
        resolve_request(ByIds(path=str(tmp_path / "ids.txt")), ShardReader(owned.folder))


def test_notes_are_no_part_of_what_a_request_is(owned: ShardReader) -> None:
    forget = resolve_request(ByPredicate(where="user != 1"), owned)
    assert replace(forget, notes=()).digest == forget.digest


def test_ids_that_are_not_there_can_be_noted(reader: ShardReader, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text(f"{reader.sample_ids('train', np.array([7]))[0]}\n999999\n")
    forget = resolve_request(ByIds(path=str(tmp_path / "ids.txt"), missing="note"), reader)
    assert forget.rows.tolist() == [7]
    assert "1 of 2 ids are not in the training split: 999999" in forget.notes[0]
    with pytest.raises(UserError, match=r"e\.g\. 999999.*set request\.missing to note"):
        resolve_request(ByIds(path=str(tmp_path / "ids.txt")), reader)
    (tmp_path / "ids.txt").write_text("999999\n")
    with pytest.raises(UserError, match="forgets nothing"):
        resolve_request(ByIds(path=str(tmp_path / "ids.txt"), missing="note"), reader)


def test_the_file_of_a_forget_set_is_a_list_of_ids(reader: ShardReader, tmp_path: Path) -> None:
    forget = resolve_request(ByRandom(count=10), reader)
    path = save_forget_set(tmp_path, forget)
    assert resolve_request(ByIds(path=str(path)), reader).digest == forget.digest
