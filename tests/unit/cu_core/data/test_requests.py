from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cu_core.data.requests import (
    ByClass,
    ByIds,
    ByPredicate,
    ByRandom,
    ForgetRequest,
    load_forget_set,
    resolve_request,
    save_forget_set,
)
from cu_core.data.schema import DataError
from cu_core.data.shard_reader import ShardReader


def test_by_class_is_every_row_of_the_class(reader: ShardReader) -> None:
    forget = resolve_request(ByClass(classes=(5, 3)), reader)
    labels = reader.labels("train", np.arange(reader.num_rows("train")))
    np.testing.assert_array_equal(forget.rows, np.flatnonzero((labels == 5) | (labels == 3)))
    assert (forget.kind, forget.classes) == ("class", (3, 5))


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
        (ByClass(classes=(12,)), "class 12 does not exist; classes: 0 0, 1 1"),
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
    with pytest.raises(ValueError, match="must hold integer ids"):
        resolve_request(ByIds(path=str(tmp_path / "ids.txt")), reader)


def test_saved_requests_are_the_same_and_belong_to_their_data(reader: ShardReader, tmp_path: Path) -> None:
    forget = resolve_request(ByClass(classes=(5,)), reader)
    path = save_forget_set(tmp_path, forget)
    assert path == save_forget_set(tmp_path, forget)
    again = load_forget_set(path, reader.manifest.digest)
    assert again.digest == forget.digest
    with pytest.raises(DataError, match="resolved on other data"):
        load_forget_set(path, "another digest")
