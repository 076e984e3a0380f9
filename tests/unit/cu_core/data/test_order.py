from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cu_core.data.order import EpochOrder, skip_rows, unit


@given(count=st.integers(1, 200), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_every_epoch_serves_each_row_once(count: int, seed: int, epoch: int) -> None:
    assert sorted(EpochOrder(count, seed).at(epoch * count, count)) == list(range(count))


@given(count=st.integers(1, 50), start=st.integers(0, 300), size=st.integers(1, 60))
def test_seeking_equals_advancing(count: int, start: int, size: int) -> None:
    order = EpochOrder(count, 7)
    np.testing.assert_array_equal(order.at(start, size), order.at(0, start + size)[start:])


def test_epochs_and_seeds_differ_and_memory_does_not_grow() -> None:
    order = EpochOrder(10**15, 0)
    assert len(set(order.at(10**14, 1000).tolist())) == 1000
    small = EpochOrder(500, 0)
    assert not np.array_equal(small.at(0, 500), small.at(500, 500))
    assert not np.array_equal(small.at(0, 500), EpochOrder(500, 1).at(0, 500))


@given(total=st.integers(2, 60), data=st.data())
def test_skip_rows_lists_what_is_left(total: int, data: st.DataObject) -> None:
    skipped = np.array(sorted(data.draw(st.sets(st.integers(0, total - 1), max_size=total - 1))), np.int64)
    left = np.setdiff1d(np.arange(total), skipped)
    np.testing.assert_array_equal(skip_rows(np.arange(len(left)), skipped), left)


def test_keyed_uniforms_are_uniform_and_depend_on_every_key() -> None:
    ids = np.arange(20_000)
    values = unit(ids, 3, 4)
    counts = np.histogram(values, 20, (0, 1))[0]
    assert abs(counts - 1000).max() < 150
    assert (values != unit(ids, 3, 5)).mean() > 0.99
    np.testing.assert_array_equal(values, unit(ids, 3, 4))
