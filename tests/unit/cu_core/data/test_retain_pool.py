from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cu_core.data.retain_pool import retain_pool, two_pools
from cu_core.errors import DataError

COUNTS = np.array([4, 5, 3, 6, 2])
FIRSTS = np.cumsum(COUNTS) - COUNTS


@given(chosen=st.sets(st.integers(0, 4), min_size=1), forget=st.sets(st.integers(0, 19), max_size=15))
def test_a_pool_lists_the_rows_of_its_stretches_that_are_not_forgotten(chosen: set[int], forget: set[int]) -> None:
    shards = np.array(sorted(chosen))
    want = [r for s in shards for r in range(FIRSTS[s], FIRSTS[s] + COUNTS[s]) if r not in forget]
    pool = retain_pool(FIRSTS[shards], COUNTS[shards], np.array(sorted(forget), np.int64))
    assert pool.size == len(want)
    assert pool.rows(np.arange(len(want))).tolist() == want


def rows(seed: int, chosen: int, others: int, forget: list[int]) -> tuple[set[int], set[int]]:
    pools = two_pools(FIRSTS, COUNTS, np.array(forget, np.int64), chosen, others, seed)
    first, second = (set(p.rows(np.arange(p.size)).tolist()) for p in pools)
    return first, second


def test_the_second_pool_holds_other_shards_while_there_are_any() -> None:
    for seed in range(20):
        first, second = rows(seed, 2, 2, [0, 5])
        assert not first & second
        assert not (first | second) & {0, 5}
        assert len({np.searchsorted(FIRSTS, r, side="right") for r in first}) == 2
    assert rows(0, 5, 2, [])[0] == rows(0, 5, 2, [])[1] == set(range(20))


def test_shards_are_drawn_with_the_seed() -> None:
    drawn = [frozenset(rows(seed, 1, 1, [])[0]) for seed in range(30)]
    assert drawn == [frozenset(rows(seed, 1, 1, [])[0]) for seed in range(30)]
    assert len(set(drawn)) == 5


def test_a_shard_without_a_retained_row_is_not_drawn() -> None:
    """Shard 2 is rows 9 to 11."""
    for seed in range(20):
        assert rows(seed, 1, 1, [9, 10, 11])[0]
    with pytest.raises(DataError, match="4 hold retained rows"):
        rows(0, 5, 1, [9, 10, 11])
