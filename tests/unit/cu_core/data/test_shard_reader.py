"""Rows are read by their number in a split, wherever their shards and record batches end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from cu_core.data.order import Rows
from cu_core.data.requests import ByClass, resolve_request
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import Chunk, ShardWriter
from cu_core.errors import DataError, UserError
from tests.unit.cu_core.data.test_convert import png

IDS = np.array([7, 3, 9, 1, 8, 2, 6, 4, 5, 0])
"""Of the training rows; four a shard."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pixel is the sample_id, a user ten times it, a label its remainder by three."""
    with ShardWriter(tmp_path / "set", "set", ["a", "b", "c"], "test", shard_rows=4) as writer:
        for split, ids in (("train", IDS), ("val", np.array([51, 50]))):
            images = np.tile(ids.astype(np.uint8)[:, None, None, None], (1, 1, 2, 2))
            writer.add(Chunk(split, images, ids % 3, ids, pa.table({"user": 10 * ids})))  # type: ignore[arg-type]
        writer.finish()
    return tmp_path / "set"


def opened(reader: ShardReader) -> set[str]:
    return set(reader._batches)


def test_rows_are_read_in_the_order_asked_for(reader: ShardReader) -> None:
    rows = np.array([5, 1000, 3, 3])
    one_by_one = [reader.images("train", rows[i : i + 1])[0] for i in range(4)]
    assert all((a == b).all() for a, b in zip(reader.images("train", rows), one_by_one, strict=True))


def test_a_half_is_random_keyed_and_reads_the_right_rows(digits: Path, reader: ShardReader) -> None:
    halves = [ShardReader(digits, half=key) for key in (0, 1)]
    total = reader.num_rows("train")
    all_ids = reader.sample_ids("train", np.arange(total))
    found = [h.sample_ids("train", np.arange(h.num_rows("train"))) for h in halves]
    for half, ids in zip(halves, found, strict=True):
        assert 0.4 * total < half.num_rows("train") < 0.6 * total
        places = np.flatnonzero(np.isin(all_ids, ids))
        np.testing.assert_array_equal(all_ids[places], ids)
        rows = np.array([len(ids) - 1, 0, 5])
        assert torch.equal(half.images("train", rows), reader.images("train", places[rows]))
        np.testing.assert_array_equal(half.labels("train", rows), reader.labels("train", places[rows]))
        assert half.num_rows("val") == reader.num_rows("val")
    assert 0.15 * total < len(np.intersect1d(*found)) < 0.35 * total
    assert len({h.manifest.digest for h in (reader, *halves)}) == 3


def test_requests_are_resolved_inside_the_half(digits: Path, reader: ShardReader) -> None:
    half = ShardReader(digits, half=4)
    whole, part = (resolve_request(ByClass(classes=(5,)), r) for r in (reader, half))
    np.testing.assert_array_equal(half.sample_ids("train", part.rows), part.sample_ids)
    assert set(part.sample_ids) < set(whole.sample_ids)
    assert (half.labels("train", part.rows) == 5).all()


@pytest.mark.parametrize("rows", [[9, 0, 4, 4, 3], [3], [8, 9], list(range(10))], ids=str)
def test_every_column_is_that_of_the_rows_asked_for(folder: Path, rows: list[int]) -> None:
    reader, asked = ShardReader(folder), np.array(rows)
    assert reader.sample_ids("train", asked).tolist() == IDS[asked].tolist()
    assert reader.labels("train", asked).tolist() == (IDS[asked] % 3).tolist()
    assert reader.column("user", asked).to_pylist() == (10 * IDS[asked]).tolist()
    images = reader.images("train", asked)
    assert images.dtype == torch.uint8
    assert images.tolist() == [[[[i, i], [i, i]]] for i in IDS[asked].tolist()]


def test_no_rows_have_the_shape_of_rows(folder: Path) -> None:
    reader, none = ShardReader(folder), np.empty(0, np.int64)
    assert reader.sample_ids("train", none).shape == (0,)
    assert reader.images("train", none).shape == (0, 1, 2, 2)
    assert reader.column("user", none).type == pa.int64()
    assert reader.num_rows("test") == 0
    assert reader.labels("test", none).shape == (0,)


def test_a_shard_is_opened_when_one_of_its_rows_is_read(folder: Path) -> None:
    reader = ShardReader(folder)
    assert opened(reader) == set()
    reader.labels("train", np.array([9, 0]))
    assert opened(reader) == {"train-00000.arrow", "train-00002.arrow"}


@pytest.mark.parametrize(("rows", "bad"), [([-1, 3], -1), ([0, 10, 2], 10)], ids=str)
def test_a_row_outside_the_split_is_named(folder: Path, rows: list[int], bad: int) -> None:
    with pytest.raises(UserError, match=f"^row {bad} is outside the train split of 10 rows"):
        ShardReader(folder).labels("train", np.array(rows))


@pytest.mark.parametrize("beyond", [0, -1])
def test_a_half_ends_where_its_rows_do(folder: Path, beyond: int) -> None:
    half = ShardReader(folder, half=1)
    count = half.num_rows("train")
    assert 0 < count < 10
    row = count if beyond == 0 else -1
    with pytest.raises(UserError, match=f"^row {row} is outside the train split of {count} rows"):
        half.sample_ids("train", np.array([row]))


def rows_of(ids: Rows, chosen: list[int]) -> list[int]:
    return [row for row, i in enumerate(ids.tolist()) if i in chosen]


@pytest.mark.parametrize("half", [None, 1, 2])
def test_conditions_give_rows_in_order_in_the_numbers_of_the_reader(folder: Path, half: int | None) -> None:
    reader = ShardReader(folder, half=half)
    ids = reader.sample_ids("train", np.arange(reader.num_rows("train")))
    assert reader.rows_where(pc.field("user") >= 50).tolist() == rows_of(ids, [5, 6, 7, 8, 9])
    assert reader.rows_where(pc.field("user") > 90).tolist() == []
    assert reader.integers_in("sample_id", [0, 9, 77, 7]).tolist() == rows_of(ids, [0, 7, 9])
    assert reader.integers_in("label", [2]).tolist() == rows_of(ids, [2, 5, 8])


@pytest.mark.parametrize("half", [None, 1, 2])
def test_a_scan_passes_over_all_rows_once_and_says_where_it_is(folder: Path, half: int | None) -> None:
    reader = ShardReader(folder, half=half)
    ids = reader.sample_ids("train", np.arange(reader.num_rows("train")))
    parts = list(reader.scan("train", "sample_id"))
    assert len(parts) == 3
    for start, values in parts:
        np.testing.assert_array_equal(values, ids[start : start + len(values)])
    assert sum(len(values) for _, values in parts) == len(ids)
    assert [(start, v.tolist()) for start, v in reader.scan("val", "sample_id")] == [(0, [51, 50])]


def test_spans_and_classes_of_shards(folder: Path) -> None:
    """Labels are 1 0 0 1, 2 2 0 1 and 2 0."""
    reader = ShardReader(folder)
    assert [part.tolist() for part in reader.shard_spans()] == [[0, 4, 8], [4, 4, 2]]
    assert [part.tolist() for part in reader.shard_spans("val")] == [[0], [2]]
    assert reader.may_hold("train", [2]).tolist() == [1, 2]
    assert reader.may_hold("train", [0]).tolist() == [0, 1, 2]
    assert reader.may_hold("val", [1]).tolist() == [0]  # the labels 0 and 2, between which 1 lies


def encoded(folder: Path, files: list[bytes]) -> Path:
    count = len(files)
    with ShardWriter(folder / "set", "set", ["a"], "test", shard_rows=2) as writer:
        writer.add(Chunk("train", files, np.zeros(count, np.int64), np.arange(count)))
        writer.finish()
    return folder / "set"


def test_encoded_images_are_decoded_to_the_size_and_channels_of_the_reader(tmp_path: Path) -> None:
    folder = encoded(tmp_path, [png(10), png(20), png(30)])
    images = ShardReader(folder, image_size=3, channels=1).images("train", np.array([2, 0]))
    assert images.tolist() == [[[[v] * 3] * 3] for v in (30, 10)]
    assert ShardReader(folder, channels=1).image_channels == 1
    with pytest.raises(UserError, match=r"encoded images need model\.image_size"):
        ShardReader(folder).images("train", np.array([0]))


def test_an_image_that_does_not_decode_is_named_by_its_place(tmp_path: Path) -> None:
    reader = ShardReader(encoded(tmp_path, [png(10), png(20), png(30), b"no image"]), image_size=3)
    with pytest.raises(DataError, match=r"^shard train-00001\.arrow, row 1: "):
        reader.images("train", np.array([0, 3]))


def test_channels_of_stored_pixels_are_their_own(folder: Path) -> None:
    assert ShardReader(folder, channels=3).image_channels == 1


def test_images_of_any_batches_come_in_the_order_of_the_rows(folder: Path) -> None:
    reader = ShardReader(folder)
    for rows in ([2, 9, 2, 5, 0, 8], [1, 3, 0], [7], [], list(range(10))[::-1]):
        images = reader.images("train", np.array(rows, np.int64))
        assert images.shape == (len(rows), 1, 2, 2)
        assert images[:, 0, 1, 1].tolist() == IDS[rows].tolist() if rows else True
        assert reader.sample_ids("train", np.array(rows, np.int64)).tolist() == IDS[rows].tolist() if rows else True
