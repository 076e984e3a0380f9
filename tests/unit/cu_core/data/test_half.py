"""A reader of a random half of the training rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from cu_core.data.requests import ByClass, resolve_request
from cu_core.data.shard_reader import ShardReader


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
