from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from cu_core.data.table_file import TableFile
from cu_core.data.table_source import stored, unified
from cu_core.errors import DataError


def file(**columns: pa.DataType) -> TableFile:
    return TableFile("f", None, 1, pa.schema(list(columns.items())), lambda names: iter(()))


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.int8(), pa.int64(), pa.int64()),
        (pa.null(), pa.string(), pa.string()),
        (pa.string(), pa.null(), pa.string()),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.list_(pa.int8()), pa.list_(pa.int8()), pa.list_(pa.int8())),
    ],
)
def test_columns_of_one_kind_are_joined_in_the_wider_type(
    one: pa.DataType, other: pa.DataType, both: pa.DataType
) -> None:
    assert unified([file(x=one), file(x=other)], "t").field("x").type == both


@pytest.mark.parametrize(
    ("one", "other"), [(pa.int64(), pa.float64()), (pa.string(), pa.int8()), (pa.bool_(), pa.int8())]
)
def test_columns_of_different_kinds_are_refused(one: pa.DataType, other: pa.DataType) -> None:
    with pytest.raises(DataError, match="column 'x' holds .* in other files and"):
        unified([file(x=one), file(x=other)], "t")


def test_rows_of_a_part_keep_their_numbers() -> None:
    part = TableFile("f", None, 3, pa.schema([]), lambda names: iter(()), np.array([4, 8, 9]))
    assert list(part.rows(1, 2)) == [8, 9]
    assert list(file().rows(5, 2)) == [5, 6]


def test_categories_are_stored_as_values() -> None:
    assert stored(pa.array(["a", "b"]).dictionary_encode()).type == pa.string()
