from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from cu_core.data.opened_shard import check_image, check_labels, check_whole_numbers, open_shard, tensor_shape
from cu_core.errors import DataError


def test_rows_are_named_by_their_number_in_the_shard() -> None:
    kind = pa.fixed_shape_tensor(pa.uint8(), (1, 1, 1))
    images = pa.ExtensionArray.from_storage(kind, pa.array([[1], None], kind.storage_type))
    batch = pa.record_batch({"id": pa.array([1, None]), "image": images})
    with pytest.raises(DataError, match="shard a, row 11: column 'id' .label. is null"):
        check_whole_numbers("a", batch, "id", "label", 10)
    with pytest.raises(DataError, match="shard a, row 11: no image"):
        check_image("a", batch, "image", 10, (1, 1, 1))
    with pytest.raises(DataError, match="shard a, row 7: label 5 is outside 0..4"):
        check_labels(np.array([0, 5, 4]), 5, "a", [6, 7, 8])
    check_labels(np.array([], np.int64), 5, "a", [])


def test_the_shape_of_a_tensor_column_is_channels_first() -> None:
    kind = pa.fixed_shape_tensor(pa.uint8(), (4, 5, 3), permutation=[2, 0, 1])
    column = pa.ExtensionArray.from_storage(kind, pa.array([[0] * 60], kind.storage_type))
    assert tensor_shape(column, "x") == (3, 4, 5) == column.to_numpy_ndarray().shape[1:]
    with pytest.raises(DataError, match="must be .channels"):
        tensor_shape(pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((1, 4), np.uint8)), "x")


def test_bytes_that_are_no_arrow_file() -> None:
    with pytest.raises(DataError, match="shard a is damaged: .*use hf:FOLDER"):
        open_shard(pa.BufferReader(b"x" * 100), "a")
