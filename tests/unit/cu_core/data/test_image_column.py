from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cu_core.data.column_views import tensor_view, to_pixels
from cu_core.data.image_column import ImageFiles, check_image_type, image_shape
from cu_core.data.row_problems import RowProblems
from cu_core.errors import DataError


def test_floats_become_pixels_by_rounding() -> None:
    assert to_pixels(np.array([[0.0, 1.0, 0.5, 0.001]])).tolist() == [[0, 255, 128, 0]]
    bytes_ = np.arange(4, dtype=np.uint8)
    assert to_pixels(bytes_) is bytes_
    with pytest.raises(DataError, match="from 0.0 to 2.0"):
        to_pixels(np.array([[0.5, 0.5], [0.0, 2.0]], np.float32))


def test_paths_are_read_below_the_root_and_problems_recorded(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.png").write_bytes(b"bytes")
    (tmp_path / "root" / "link.png").symlink_to(tmp_path / "outside.png")
    (tmp_path / "outside.png").write_bytes(b"secret")
    os.mkfifo(tmp_path / "root" / "pipe.png")
    problems = RowProblems("x")
    images = ImageFiles(tmp_path / "root", 1, problems)
    names = ["a.png", str(tmp_path / "root" / "a.png"), "link.png", "pipe.png", ".", ""]
    assert images.read(pa.array(names), "t", range(10, 16)) == [b"bytes", b"bytes", b"", b"", b"", b""]
    with pytest.raises(
        DataError, match=r"3 paths are not a file in .*t row 12, t row 13, t row 14; 1 rows have no image"
    ):
        problems.refuse()


def test_bytes_of_a_struct_come_before_its_path(tmp_path: Path) -> None:
    problems = RowProblems("x")
    column = pa.array(
        [{"bytes": b"1", "path": "gone"}, None], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    )
    assert ImageFiles(tmp_path, 1, problems).read(column, "t", range(2)) == [b"1", b""]
    with pytest.raises(DataError, match="1 rows have no image: t row 1"):
        problems.refuse()


def test_a_struct_without_any_bytes_is_opened_by_path(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    column = pa.array([{"bytes": None, "path": "a.png"}, {"bytes": None, "path": None}])
    check_image_type(column.type, "x")
    problems = RowProblems("x")
    assert ImageFiles(tmp_path, 1, problems).read(column, "t", range(2)) == [b"1", b""]
    with pytest.raises(DataError, match="1 rows have no image: t row 1"):
        problems.refuse()


@pytest.mark.parametrize("kind", [pa.int64(), pa.list_(pa.uint8()), pa.struct([("path", pa.string())]), pa.null()])
def test_types_that_hold_no_images(kind: pa.DataType) -> None:
    with pytest.raises(DataError, match="must hold image bytes"):
        check_image_type(kind, "x")


def test_tensors_are_read_in_the_order_of_their_permutation() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3)).astype(np.uint8)
    kind = pa.fixed_shape_tensor(pa.uint8(), (6, 4, 3), permutation=[2, 0, 1])
    storage = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 72)
    column = pa.ExtensionArray.from_storage(kind, storage)
    assert image_shape(kind, "x") == (3, 6, 4)
    np.testing.assert_array_equal(tensor_view(column), pixels.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(tensor_view(column.slice(2, 2)), pixels[2:4].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(ImageFiles(Path(), 1, RowProblems("x")).read(column, "t", range(5)),
                                  pixels.transpose(0, 3, 1, 2))  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((8, 8, 3), r"seem to be .height, width, channels.; transpose them to \(3, 8, 8\)"),
        ((32, 32, 1), r"seem to be .height, width, channels.; transpose them to \(1, 32, 32\)"),
        ((32, 32, 32), "channels 1 to 16"),
    ],
)
def test_tensors_of_other_orders_are_refused(shape: tuple[int, ...], match: str) -> None:
    with pytest.raises(DataError, match=match):
        check_image_type(pa.fixed_shape_tensor(pa.uint8(), shape), "x")
    check_image_type(pa.fixed_shape_tensor(pa.uint8(), (3, 4, 3)), "x")
