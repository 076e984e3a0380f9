"""Registered shards that cannot be used: refused in one line, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cu_core.data.shard_reader import ShardReader
from cu_core.data.verify import verify
from cu_core.errors import DataError
from tests.hostile.table_inputs import arrow_file, packed, pngs

COUNT = 8


def no_progress(done: int, total: int) -> None:
    return


# Registered shards


def registered(folder: Path, out: Path, **options: Any) -> ShardReader:
    return packed(f"arrow:{folder}", out, **options)


def rows(first: int = 0, **columns: Any) -> dict[str, Any]:
    return {"sample_id": list(range(first, first + 6)), "image": pngs(6, first), "label": [0, 1] * 3} | columns


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"label": [0, None, 1, 0, 1, 0]}, "row 1: column 'label' .label. is null"),
        ({"label": [0.0, 1.0] * 3}, "must hold integers, it holds double"),
        ({"label": ["a"] * 6}, "must hold integers, it holds string"),
        ({"label": [0, -1, 1, 0, 1, 0]}, "row 1: label -1 must be a class number"),
        ({"label": [0, 10**8, 1, 0, 1, 0]}, "row 1: label 100000000 must be a class number, 0 to 999999"),
        ({"label": [0, 2**62, 1, 0, 1, 0]}, "must be a class number"),
        ({"sample_id": [0, 1, 2, 3, 4, None]}, "row 5: column 'sample_id' .sample_id. is null"),
        ({"sample_id": [0, 1, 2, 3, 4, 4]}, "1 ids of column 'sample_id' occur more than once, e.g. 4"),
        ({"sample_id": [str(n) for n in range(6)]}, "must hold integers"),
        ({"sample_id": pa.array([2**63 + n for n in range(6)], pa.uint64())}, "more than 63 bits"),
        ({"image": [*pngs(5), None]}, "images that cannot be used, 1 in all: .*a.arrow, row 5: "),
        ({"image": [*pngs(5), b"x"]}, "images that cannot be used, 1 in all: .*a.arrow, row 5: "),
        ({"image": [1] * 6}, "must hold image bytes"),
        ({"image": [{"a": {"b": b"x"}}] * 6}, "must hold image bytes"),
    ],
)
def test_registered_shards_that_cannot_be_used(tmp_path: Path, columns: dict[str, Any], match: str) -> None:
    arrow_file(tmp_path / "in" / "a.arrow", rows(**columns))
    with pytest.raises(DataError, match=match):
        registered(tmp_path / "in", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def tensors(values: np.ndarray[Any, Any]) -> pa.Array:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))


def test_floats_of_0_to_1_are_read_as_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 4)).astype(np.uint8)
    arrow_file(tmp_path / "in" / "a.arrow", rows(image=tensors(pixels.astype(np.float32) / 255)))
    reader = registered(tmp_path / "in", tmp_path / "out")
    np.testing.assert_array_equal(reader.images("train", np.arange(6)).numpy(), pixels)
    assert verify(tmp_path / "out", no_progress) == []


def test_tensors_with_the_channels_last(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
    arrow_file(tmp_path / "in" / "a.arrow", rows(image=tensors(pixels)))
    with pytest.raises(DataError, match="seem to be .height, width, channels."):
        registered(tmp_path / "in", tmp_path / "out")
    kind = pa.fixed_shape_tensor(pa.uint8(), (8, 8, 3), permutation=[2, 0, 1])
    storage = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 192)
    arrow_file(tmp_path / "in" / "a.arrow", rows(image=pa.ExtensionArray.from_storage(kind, storage)))
    reader = registered(tmp_path / "in", tmp_path / "two")
    np.testing.assert_array_equal(reader.images("train", np.arange(6)).numpy(), pixels.transpose(0, 3, 1, 2))
    assert verify(tmp_path / "two", no_progress) == []


@pytest.mark.parametrize("bad", [2.0, -0.1, float("nan"), float("inf")])
def test_floats_that_are_no_pixels(tmp_path: Path, bad: float) -> None:
    values = np.full((6, 3, 4, 4), 0.5, np.float32)
    values[3, 0, 0, 0] = bad
    arrow_file(tmp_path / "in" / "a.arrow", rows(image=tensors(values)))
    with pytest.raises(DataError, match="floats must lie in 0..1"):
        registered(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("kind", [np.int64, np.uint16])
def test_tensors_of_other_types(tmp_path: Path, kind: Any) -> None:
    arrow_file(tmp_path / "in" / "a.arrow", rows(image=tensors(np.zeros((6, 3, 4, 4), kind))))
    with pytest.raises(DataError, match=r"must be \(channels, height, width\) of uint8"):
        registered(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("second", "match"),
    [
        (
            rows(10, image=tensors(np.zeros((6, 3, 4, 4), np.uint8))),
            "other columns or types than the first file: image",
        ),
        (rows(10, user=[1] * 6), "other columns or types than the first file: user"),
        (rows(10, label=pa.array([0] * 6, pa.int8())), "other columns or types than the first file: label"),
        (rows(3), "3 ids of column 'sample_id' occur more than once, e.g. 3, 4, 5"),
    ],
)
@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_every_file_is_compared(tmp_path: Path, second: dict[str, Any], match: str, order: tuple[str, str]) -> None:
    arrow_file(tmp_path / "in" / f"{order[0]}.arrow", rows())
    arrow_file(tmp_path / "in" / f"{order[1]}.arrow", second)
    with pytest.raises(DataError, match=match):
        registered(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "match"), [(b"", "has no rows"), (b"ARROW1\0\0", "is damaged"), (b"<html>" * 99, "is damaged")]
)
def test_files_that_are_not_arrow(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.arrow").write_bytes(content)
    with pytest.raises(DataError, match=match):
        registered(tmp_path / "in", tmp_path / "out")


def test_registered_files_of_a_test_set_alone(tmp_path: Path) -> None:
    arrow_file(tmp_path / "in" / "test" / "a.arrow", rows())
    with pytest.raises(DataError, match="has no training rows"):
        registered(tmp_path / "in", tmp_path / "out")


def test_options_that_need_rows_are_refused(tmp_path: Path) -> None:
    arrow_file(tmp_path / "in" / "a.arrow", rows())
    for options in (
        {"shard_rows": 3},
        {"captions": ("a {class}",)},
        {"image_root": "x"},
        {"skip_empty_captions": True},
    ):
        with pytest.raises(DataError, match="only registers shards where they lie"):
            registered(tmp_path / "in", tmp_path / "out", **options)
