from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.data.shard_reader import ShardReader
from cu_core.data.stored_images import decoders
from cu_core.errors import DataError
from tests.copies import drawing, drawings, pack_files
from tests.pictures import encoded


def test_images_come_in_their_own_size_and_in_the_order_that_was_asked(tmp_path: Path) -> None:
    small = encoded(drawing(9, side=20), "png")
    data = pack_files(tmp_path / "data", {"train": [*drawings(3), small]}, shard_rows=2)
    found = [decode() for decode in decoders(data, "train", np.array([3, 0]))]
    np.testing.assert_array_equal(found[0], np.asarray(drawing(9, side=20)))
    np.testing.assert_array_equal(found[1], np.asarray(drawing(0)))


def test_tensors_come_with_their_channels_last(reader: ShardReader) -> None:
    (decode,) = decoders(reader, "val", np.array([4]))
    assert decode().shape == (8, 8, 1)
    np.testing.assert_array_equal(decode()[..., 0], reader.images("val", np.array([4]))[0, 0])


def test_an_image_that_does_not_decode_is_named_when_it_is_decoded(tmp_path: Path) -> None:
    data = pack_files(tmp_path / "data", {"train": [*drawings(2), b"no image"]})
    (decode,) = decoders(data, "train", np.array([2]))
    with pytest.raises(DataError, match="shard train-00000.arrow, row 2: the image does not decode"):
        decode()
