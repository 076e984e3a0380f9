"""Rows become shards in their order; nothing half written keeps its name."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cu_core.data.schema import read_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import Chunk, ShardWriter, new_data_folder, write_shards
from cu_core.errors import DataError
from cu_core.files import sha256_of
from cu_core.leftovers import machine


def chunk(ids: list[int], split: Any = "train", labels: list[int] | None = None, **more: Any) -> Chunk:
    images = np.tile(np.array(ids, np.uint8)[:, None, None, None], (1, 1, 2, 2))
    return Chunk(split, images, np.array(labels or [0] * len(ids), np.int64), np.array(ids, np.int64), **more)


def written(out: Path, *chunks: Chunk, **more: Any) -> ShardReader:
    write_shards(out, "set", ["a", "b"], "test", iter(chunks), **more)
    return ShardReader(out)


def test_shards_fill_in_the_order_of_the_rows(tmp_path: Path) -> None:
    parts = [chunk([5, 1, 8]), chunk([20, 21], "val"), chunk([2, 9, 3]), chunk([22], "val"), chunk([4, 7, 6])]
    reader = written(tmp_path / "set", *parts, shard_rows=4)
    shards = [(s.path, s.rows) for s in reader.manifest.shards]
    assert sorted(shards) == [
        ("train-00000.arrow", 4),
        ("train-00001.arrow", 4),
        ("train-00002.arrow", 1),
        ("val-00000.arrow", 3),
    ]
    assert reader.sample_ids("train", np.arange(9)).tolist() == [5, 1, 8, 2, 9, 3, 4, 7, 6]
    assert reader.sample_ids("val", np.arange(3)).tolist() == [20, 21, 22]
    assert reader.images("train", np.arange(9))[:, 0, 1, 1].tolist() == [5, 1, 8, 2, 9, 3, 4, 7, 6]


def test_one_chunk_may_fill_several_shards(tmp_path: Path) -> None:
    reader = written(tmp_path / "set", chunk(list(range(9))), shard_rows=4)
    assert [s.rows for s in reader.manifest.shards] == [4, 4, 1]
    assert written(tmp_path / "whole", chunk(list(range(8))), shard_rows=4).manifest.num_rows("train") == 8


def test_the_manifest_says_what_lies_in_the_folder(tmp_path: Path) -> None:
    reader = written(tmp_path / "set", chunk([5, 1, 8], extra=pa.table({"user": [3, 2, 4]})), notes={"left out": 7})
    (shard,) = reader.manifest.shards
    file = tmp_path / "set" / shard.path
    assert (shard.bytes, shard.sha256) == (file.stat().st_size, sha256_of(file))
    assert shard.ranges == {"sample_id": (1, 8), "label": (0, 0), "user": (2, 4)}
    manifest = reader.manifest
    assert (manifest.image_kind, manifest.image_shape) == ("tensor", (1, 2, 2))
    assert (manifest.extra_columns, manifest.notes, manifest.columns) == (("user",), {"left out": 7}, {})
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == ["manifest.json", "train-00000.arrow"]


def test_own_ids_and_labels_of_the_source_are_kept(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "set", "set", ["a", "b"], "test") as writer:
        writer.add(chunk([1], extra=pa.table({"name": ["x"]})))
        writer.finish(id_column="name", label_values=[3, 8])
    manifest = read_manifest(tmp_path / "set")
    assert (manifest.columns, manifest.label_values) == ({"own_id": "name"}, (3, 8))


def test_mean_and_deviation_are_of_training_pixels_by_channel(tmp_path: Path) -> None:
    """Channel 0: three pixels 0 and one 255; channel 1: all 51, whose deviation is not less than 0.001."""
    images = np.full((4, 2, 1, 1), 51, np.uint8)
    images[:, 0, 0, 0] = [0, 255, 0, 0]
    ids, labels = np.arange(4), np.zeros(4, np.int64)
    parts = [Chunk("train", images[s], labels[s], ids[s]) for s in (slice(0, 1), slice(1, 4))]
    parts.append(Chunk("val", images[:1] + 9, labels[:1], ids[:1] + 9))
    manifest = written(tmp_path / "set", *parts).manifest
    assert manifest.pixel_mean == (0.25, 0.2)
    assert manifest.pixel_std == (round(0.1875**0.5, 6), 0.001)


def test_image_files_have_no_shape_and_are_no_pixels(tmp_path: Path) -> None:
    manifest = written(tmp_path / "set", Chunk("train", [b"x"], np.array([1]), np.array([4]))).manifest
    assert (manifest.image_kind, manifest.image_shape, len(manifest.pixel_mean)) == ("encoded", None, 3)


OTHER_SHAPE = Chunk("train", np.zeros((1, 1, 2, 3), np.uint8), np.array([0]), np.array([9]))


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([chunk([1, 2, 3], labels=[0, 2, -1])], r"label 2 is outside 0\.\.1 \(2 classes\)"),
        ([chunk([1, 2], labels=[0, -1])], r"label -1 is outside 0\.\.1"),
        ([chunk([1]), OTHER_SHAPE], "must share columns and image shape"),
        ([chunk([1]), chunk([2], extra=pa.table({"user": [1]}))], "must share columns and image shape"),
        ([chunk([4, 1, 6]), chunk([6, 4], "val")], r"test: 2 sample_ids occur more than once, e\.g\. 4, 6\."),
        ([chunk([1], "val")], "test gave no training rows; nothing was written"),
        ([chunk([])], "test gave no training rows; nothing was written"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_rows_that_do_not_fit_leave_nothing(chunks: list[Chunk], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        written(tmp_path / "set", *chunks, shard_rows=1)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_empty_chunks_are_passed_over(tmp_path: Path) -> None:
    assert written(tmp_path / "set", chunk([]), chunk([1]), chunk([])).num_rows("train") == 1


def test_a_folder_that_exists_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    def unread() -> Any:
        pytest.fail("read")
        yield

    (tmp_path / "set").mkdir()
    killed = subprocess.Popen(["true"])
    killed.wait()
    (tmp_path / f".set.{machine()}-{killed.pid}.partial").mkdir()
    with pytest.raises(DataError, match=r"set already exists; choose another folder or delete it first"):
        write_shards(tmp_path / "set", "set", ["a"], "test", unread())
    assert [path.name for path in tmp_path.iterdir()] == ["set"]  # what a killed pack had left is deleted


def test_who_comes_second_leaves_the_data_of_the_first(tmp_path: Path) -> None:
    def second() -> None:
        with new_data_folder(tmp_path / "set"):
            (tmp_path / "set").mkdir()
            (tmp_path / "set" / "first").touch()

    with pytest.raises(DataError, match="was made by another process meanwhile"):
        second()
    assert [p.name for p in (tmp_path / "set").iterdir()] == ["first"]
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("files", [False, True])
def test_some_rows_of_a_chunk(files: bool) -> None:
    whole = chunk([5, 1, 8], labels=[0, 1, 0], extra=pa.table({"user": [3, 2, 4]}), places=["p", "q", "r"])
    if files:
        whole = Chunk("val", [b"x", b"y", b"z"], whole.labels, whole.sample_ids, whole.extra, whole.places)
    part = whole.rows(np.array([2, 1]))
    assert part.split == whole.split
    assert (part.sample_ids.tolist(), part.labels.tolist(), part.places) == ([8, 1], [0, 1], ["r", "q"])
    assert part.extra is not None
    assert part.extra["user"].to_pylist() == [4, 2]
    assert list(part.images) == [b"z", b"y"] if files else part.images[:, 0, 0, 0].tolist() == [8, 1]
    assert chunk([5, 1]).rows(np.array([1])).places is None


@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 2, 2), (2, 1, 5), (1, 1, 1)], ids=str)
def test_pixels_keep_their_places(shape: tuple[int, ...], tmp_path: Path) -> None:
    images = np.arange(2 * int(np.prod(shape)), dtype=np.uint8).reshape(2, *shape)
    reader = written(tmp_path / "set", Chunk("train", images, np.zeros(2, np.int64), np.arange(2)))
    np.testing.assert_array_equal(reader.images("train", np.array([0, 1])), images)
