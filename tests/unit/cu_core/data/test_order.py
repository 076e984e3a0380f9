from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cu_core.data.order import EpochOrder, hash64, hash_uniform, skip_rows


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
    values = hash_uniform(ids, 3, 4)
    counts = np.histogram(values, 20, (0, 1))[0]
    assert abs(counts - 1000).max() < 150
    assert (values != hash_uniform(ids, 3, 5)).mean() > 0.99
    np.testing.assert_array_equal(values, hash_uniform(ids, 3, 4))


def split_mix(value: int, *keys: int) -> int:
    """SplitMix64's output function (Steele et al. 2014, fig. 14) in whole numbers, once for each key."""
    golden, mask = 0x9E3779B97F4A7C15, 2**64 - 1
    for key in (0, *keys):
        z = (value + (key + 1) * golden) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        value = z ^ (z >> 31)
    return value


@given(value=st.integers(0, 2**62), keys=st.lists(st.integers(0, 2**31), max_size=3))
def test_hashes_are_split_mix_of_every_key(value: int, keys: list[int]) -> None:
    found = hash64(np.array([value]), *keys)
    assert int(found[0]) == split_mix(value, *keys)
    assert hash_uniform(np.array([value]), *keys)[0] == (split_mix(value, *keys) >> 11) / 2**53


def test_the_first_output_of_split_mix_with_seed_0_is_the_published_one() -> None:
    assert int(hash64(np.array([0]))[0]) == 0xE220A8397B1DCDAF


def test_the_order_depends_on_seed_epoch_and_position() -> None:
    """Every pair of (seed, epoch) has a permutation of its own; seed 1 in epoch 0 is not seed 0 in epoch 1."""
    orders = {
        tuple(EpochOrder(40, seed).at(40 * epoch, 40).tolist()): (seed, epoch)
        for seed in range(5)
        for epoch in range(5)
    }
    assert len(orders) == 25
    assert all(list(order) != sorted(order) for order in orders)
    with pytest.raises(ValueError, match="at least one row"):
        EpochOrder(0, 0)


def test_places_are_uniform_over_seeds() -> None:
    """Where row 0 of 10 comes in 2,000 orders: 200 times in each place, give or take 5 standard deviations."""
    first = np.bincount([EpochOrder(10, seed).at(0, 1)[0] for seed in range(2000)], minlength=10)
    assert abs(first - 200).max() < 5 * (2000 * 0.1 * 0.9) ** 0.5
