"""Encoded images of the reader: the same bytes in the same order by any number of threads."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cu_core.data.convert import SplitPlan, pack
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions
from cu_core.errors import DataError

ROWS = 30


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (9 + number % 5, 12, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def packed(place: Path, options: SourceOptions) -> ShardReader:
    for number in range(ROWS):
        folder = place / "pictures" / ("a" if number % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        data = picture(number)
        damaged = number in (7, 11, 23) and not options.check
        (folder / f"{number:02d}.png").write_bytes(data[:60] if damaged else data)
    plan = SplitPlan(val_frac=0.0, test_frac=0.0)
    pack(f"folder:{place / 'pictures'}", place / "data", plan, options, lambda done, total: None)
    return ShardReader(place / "data", image_size=8)


def test_any_number_of_threads_reads_the_same(threads: None, tmp_path: Path) -> None:
    reader = packed(tmp_path, SourceOptions())
    rows = np.random.default_rng(0).permutation(ROWS)
    found = []
    for count in (1, 3):
        torch.set_num_threads(count)
        found.append(reader.images("train", rows))
    assert torch.equal(*found)
    assert torch.equal(found[0], torch.cat([reader.images("train", rows[i : i + 1]) for i in range(ROWS)]))
    assert torch.get_num_threads() == 3, "the caller keeps its threads"


def test_of_several_that_fail_the_first_is_named(threads: None, tmp_path: Path) -> None:
    reader = packed(tmp_path, SourceOptions(check=False))
    order = reader.column("file", np.arange(ROWS)).to_pylist()
    bad = [row for row, file in enumerate(order) if Path(file).stem in ("07", "11", "23")]
    torch.set_num_threads(3)
    for rows in (np.arange(ROWS), np.arange(ROWS)[::-1].copy()):
        first = next(int(row) for row in rows if row in bad)
        with pytest.raises(DataError, match=f"row {first}: the image does not decode"):
            reader.images("train", rows)


def test_images_are_read_in_inference_mode_too(threads: None, tmp_path: Path) -> None:
    reader = packed(tmp_path, SourceOptions())
    torch.set_num_threads(2)
    with torch.inference_mode():
        found = reader.images("train", np.arange(4))
    assert torch.equal(found, reader.images("train", np.arange(4)))
