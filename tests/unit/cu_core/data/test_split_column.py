from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from cu_core.data.sources import SourceOptions
from cu_core.data.split_column import by_split_column
from cu_core.data.table_file import Columns, TableFile
from cu_core.errors import DataError


def file(**columns: list[object]) -> TableFile:
    table = pa.table(columns)

    def read(names: Columns) -> Iterator[pa.RecordBatch]:
        yield from table.select(list(table.column_names if names is None else names)).to_batches(max_chunksize=2)

    return TableFile("t", None, table.num_rows, table.schema, read)


@pytest.mark.parametrize("name", ["split", "Split", "SPLIT"])
def test_rows_go_where_their_column_says(name: str) -> None:
    found = by_split_column(
        [file(id=[0, 1, 2, 3, 4], **{name: ["train", "Test", "test", "train", "valid"]})], SourceOptions(), "x"
    )
    rows = {part.split: [n for batch in part.read(None) for n in batch["id"].to_pylist()] for part in found}
    assert rows == {"train": [0, 3], "test": [1, 2], "val": [4]}
    assert {part.split: list(part.rows(0, part.num_rows)) for part in found} == rows
    assert all(part.schema.names == ["id"] and part.num_rows == len(rows[part.split]) for part in found)


def test_rows_of_no_split_are_refused_together() -> None:
    with pytest.raises(DataError, match="x: 2 rows have a Split that is none of train, val, test: t row 1, t row 2"):
        by_split_column([file(Split=["train", "holdout", None])], SourceOptions(), "x")


def test_numbers_and_columns_with_a_role_are_no_splits() -> None:
    folds, labels = file(split=[1, 2]), file(split=["a", "b"])
    assert by_split_column([folds], SourceOptions(), "x") == [folds]
    assert by_split_column([labels], SourceOptions(columns={"label": "split"}), "x") == [labels]


def test_splits_in_a_column_of_another_name_are_not_passed_over() -> None:
    with pytest.raises(
        DataError, match=r"x: the column 'Partition' of t holds splits \(test, train\); call it 'split'"
    ):
        by_split_column([file(Partition=["train", "test"])], SourceOptions(), "x")
    for plain in (file(phase=["train", "train"]), file(set=["a", "train"]), file(fold=[1, 2])):
        assert by_split_column([plain], SourceOptions(), "x") == [plain]
