from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from cu_core.data.column_views import caption_lists, encoded_view, take_pixels, tensor_view
from cu_core.errors import DataError


@pytest.mark.parametrize("kind", ["uint8", "transposed", "float"])
def test_rows_of_tensors_of_any_layout(kind: str) -> None:
    want = np.arange(5 * 2 * 3 * 4, dtype=np.uint8).reshape(5, 2, 3, 4)
    view = want
    if kind == "transposed":
        view = np.ascontiguousarray(want.transpose(0, 3, 2, 1)).transpose(0, 3, 2, 1)
    elif kind == "float":
        view = want.astype(np.float32) / 255  # type: ignore[assignment]
    out = np.zeros((3, 2, 3, 4), np.uint8)
    take_pixels(view, np.array([4, 0, 4]), out)
    np.testing.assert_array_equal(out, want[[4, 0, 4]])


def test_floats_that_are_no_images() -> None:
    with pytest.raises(DataError, match="floats must lie in 0..1"):
        take_pixels(np.full((2, 1, 2, 2), 7.0), np.array([1]), np.zeros((1, 1, 2, 2), np.uint8))


def test_tensors_are_not_copied() -> None:
    values = pa.array(np.arange(12, dtype=np.uint8))
    storage = pa.FixedSizeListArray.from_arrays(values, 4)
    view = tensor_view(pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.uint8(), (1, 2, 2)), storage))
    assert view.shape == (3, 1, 2, 2)
    assert not view.flags.owndata


def test_captions_that_say_nothing_are_dropped() -> None:
    assert caption_lists(pa.array(["a", "", None, " \n"])) == [["a"], [], [], []]
    assert caption_lists(pa.array([["x", "", None, "y "], None, []])) == [["x", "y "], [], []]


def test_image_files_of_both_kinds_of_column() -> None:
    plain = pa.array([b"one", None])
    for column in (plain, pa.StructArray.from_arrays([plain, pa.array(["p", "q"])], ["bytes", "path"])):
        assert [bytes(encoded_view(column)(row)) for row in (0, 1)] == [b"one", b""]
