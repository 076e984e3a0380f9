"""The check of a source's images: all that is bad is named, or left out and counted; the others stay as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from cu_core.data import image_check
from cu_core.data.image_check import bad_images, checked, decoded, in_threads
from cu_core.data.images import decode
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import Source, SourceOptions
from cu_core.errors import SHOWN, DataError
from tests.pictures import encoded, grey_file, picture

MOVING = encoded(Image.new("RGB", (8, 8)), "gif", save_all=True, append_images=[Image.new("RGB", (8, 8), (255, 0, 0))])


def source(train: list[bytes], test: list[bytes] | None = None, named: bool = True) -> Source:
    """Rows in chunks of two; the number of a row is its id and its label."""
    parts = {"train": train, "test": test or []}

    def read() -> Iterator[Chunk]:
        first = 0
        for split, images in parts.items():
            for start in range(0, len(images), 2):
                part = images[start : start + 2]
                ids = np.arange(first + start, first + start + len(part))
                extra = pa.table({"file": [f"{split}/{i}.png" for i in ids]}) if named else None
                yield Chunk(split, part, ids, ids, extra)  # type: ignore[arg-type]
            first += len(images)

    counts = {split: len(images) for split, images in parts.items() if images}
    return Source("some", ("a",), counts, read, {"skipped": 1})  # type: ignore[arg-type]


def test_sound_images_pass_unchanged() -> None:
    steps: list[tuple[int, int]] = []
    given = source([grey_file(i) for i in range(3)], [grey_file(9)])
    found = checked(given, SourceOptions(), lambda done, total: steps.append((done, total)))
    assert found.counts == {"train": 3, "test": 1}
    assert found.notes == {"skipped": 1}
    assert [i for chunk in found.read() for i in chunk.images] == [*map(grey_file, range(3)), grey_file(9)]
    assert steps == [(2, 4), (3, 4), (4, 4)]


def test_all_bad_images_are_named_in_one_error() -> None:
    given = source([grey_file(0), b"", grey_file(1), b"<html>"], [encoded(Image.new("L", (99, 99)), "png")[:60]])
    with pytest.raises(DataError) as caught:
        checked(given, SourceOptions(), lambda done, total: None)
    text = str(caught.value)
    assert "3 in all" in text
    assert "train/1.png: the image does not decode: the file is empty" in text
    assert "train/3.png: the image does not decode: it begins with b'<html>'" in text
    assert "test/4.png: the image does not decode" in text
    assert "--skip-bad" in text


def test_the_list_of_bad_images_is_bounded() -> None:
    with pytest.raises(DataError) as caught:
        checked(source([b""] * (SHOWN + 5), named=False), SourceOptions(), lambda done, total: None)
    assert str(caught.value).count("the file is empty") == SHOWN
    assert "sample_id 19: " in str(caught.value)
    assert "and 5 more" in str(caught.value)


def test_bad_images_are_left_out_and_counted() -> None:
    given = source([b"", grey_file(1), grey_file(2), MOVING, b"no"], [b"x", grey_file(6)])
    found = checked(given, SourceOptions(skip_bad=True), lambda done, total: None)
    assert found.counts == {"train": 3, "test": 1}
    assert found.notes == {"skipped": 1, image_check.ANIMATED: 1, image_check.BAD: 3}
    chunks = list(found.read())
    assert np.concatenate([chunk.sample_ids for chunk in chunks]).tolist() == [1, 2, 3, 6]
    assert [i for chunk in chunks for i in chunk.images] == [grey_file(1), grey_file(2), MOVING, grey_file(6)]
    assert [f for c in chunks if c.extra for f in c.extra["file"].to_pylist()] == [
        f"train/{i}.png" for i in (1, 2, 3)
    ] + ["test/6.png"]


def test_the_bound_on_pixels_is_that_of_the_options() -> None:
    with pytest.raises(DataError, match="12 x 12 = 144 pixels, the bound is 143"):
        checked(source([grey_file(0)]), SourceOptions(max_pixels=143), lambda done, total: None)


def test_images_of_one_size_are_those_that_training_decodes(rng: np.random.Generator) -> None:
    files = [encoded(picture(rng, 30 + i, 40 - i), "png") for i in range(5)]
    chunks = list(decoded(source(files), 16, 10_000).read())
    assert [chunk.images.shape for chunk in chunks] == [(2, 3, 16, 16), (2, 3, 16, 16), (1, 3, 16, 16)]  # type: ignore[union-attr]
    got = np.concatenate([np.asarray(chunk.images) for chunk in chunks])
    assert (got == np.stack([decode(file, 3, 16).numpy() for file in files])).all()


def test_what_cannot_be_decoded_to_one_size_is_said(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match=r"train/1\.png: .*empty"):
        list(decoded(source([grey_file(0), b""]), 16, 10_000).read())
    chunk = Chunk("train", np.zeros((1, 1, 8, 8), np.uint8), np.zeros(1, np.int64), np.zeros(1, np.int64))
    arrays = Source("digits", ("a",), {"train": 1}, lambda: iter([chunk]))
    with pytest.raises(DataError, match="--decode is for image files; digits"):
        list(decoded(arrays, 16, 10_000).read())
    assert checked(arrays, SourceOptions(), lambda done, total: None) is arrays


def test_bad_rows_of_a_column_are_found() -> None:
    files = [grey_file(0), None, b"", b"words", grey_file(1)]
    for column in (pa.array(files, pa.binary()), pa.array([{"bytes": f, "path": ""} for f in files])):
        found = dict(bad_images(column))
        assert list(found) == [1, 2, 3]
        assert "empty" in found[1]
        assert "begins with b'words'" in found[3]


def test_threads_keep_the_order_and_hold_few_items() -> None:
    taken, together = [], []
    barrier = threading.Barrier(2, timeout=10)

    def items() -> Iterator[int]:
        for i in range(200):
            taken.append(i)
            yield i

    results = in_threads(lambda i: i * i, items())
    assert next(results) == 0
    assert len(taken) == image_check.AT_ONCE
    assert list(results) == [i * i for i in range(1, 200)]
    list(in_threads(lambda i: together.append(barrier.wait()), range(2)))
    assert len(together) == 2
