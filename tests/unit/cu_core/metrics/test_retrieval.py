from __future__ import annotations

import numpy as np
import pytest

from cu_core.metrics import retrieval
from cu_core.metrics.retrieval import blocks, found_within, k_occurrences, r_precision


def test_recall_equals_plain_loops(rng: np.random.Generator) -> None:
    queries, keys = (rng.normal(size=(count, 6)).astype(np.float32) for count in (20, 30))
    relevant = rng.random((20, 30)) < 0.1
    for top in (1, 5, 10):
        expected = [
            any(relevant[q, k] for k in sorted(range(30), key=lambda k: -float(queries[q] @ keys[k]))[:top])
            for q in range(20)
        ]
        assert found_within(queries, keys, relevant, top).tolist() == expected


def test_more_than_there_are_is_all() -> None:
    one = np.eye(2, dtype=np.float32)
    assert found_within(one, one, ~np.eye(2, dtype=np.bool_), 10).all()
    assert not found_within(one, one, ~np.eye(2, dtype=np.bool_), 1).any()


def test_precision_equals_plain_loops_and_recall_where_one_key_matches(rng: np.random.Generator) -> None:
    queries, keys = (rng.normal(size=(count, 6)).astype(np.float32) for count in (20, 30))
    relevant = rng.random((20, 30)) < 0.2
    relevant[:, 0] = True
    for q, share in enumerate(r_precision(queries, keys, relevant)):
        nearest = sorted(range(30), key=lambda k: -float(queries[q] @ keys[k]))[: relevant[q].sum()]
        assert share == np.mean([relevant[q, k] for k in nearest])
    one = np.eye(20, 30, dtype=np.bool_)
    assert (r_precision(queries, keys, one) == found_within(queries, keys, one, 1)).all()


def test_precision_by_hand() -> None:
    """Two relevant keys: one of them is second, the other third: half of the first two places."""
    query = np.array([[1.0, 0.0]], np.float32)
    keys = np.array([[0.9, 0], [0.8, 0], [0.7, 0], [-1, 0]], np.float32)
    relevant = np.array([[False, True, True, False]])
    assert r_precision(query, keys, relevant).tolist() == [0.5]
    assert r_precision(query, keys, ~relevant).tolist() == [0.5]
    assert r_precision(query, keys, np.zeros((1, 4), np.bool_)).tolist() == [0]
    assert [bool(found_within(query, keys, relevant, top)[0]) for top in (1, 2)] == [False, True]


def test_keys_that_are_equally_near_are_found_as_chance_finds_them() -> None:
    """All embeddings alike: the share of the relevant among all. Then two of three equal keys fill the free places."""
    x = np.ones((5, 1), np.float32)
    relevant = np.array([[True, True, False, False, False]])
    assert r_precision(x[:1], x, relevant) == pytest.approx([2 / 5])
    assert r_precision(x[:1], np.full_like(x, np.nan), relevant) == pytest.approx([2 / 5])
    assert r_precision(x[:1], x, relevant, np.array([0])) == pytest.approx([1 / 4])
    keys = np.array([[0.9], [0.5], [0.5], [0.5], [0.1]], np.float32)
    assert r_precision(x[:1], keys, np.array([[True, True, False, False, True]])) == pytest.approx([(1 + 2 / 3) / 3])
    assert r_precision(x, x[:0], np.zeros((5, 0), np.bool_)).tolist() == [0] * 5


@pytest.mark.parametrize(
    ("queries", "keys", "sizes"), [(10, 4, [3, 3, 3, 1]), (2, 100, [1, 1]), (0, 5, [0]), (3, 0, [3])]
)
def test_a_block_has_no_more_similarities_than_fit(
    queries: int, keys: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "AT_ONCE", 12)
    parts = [np.arange(queries)[block] for block in blocks(queries, keys)]
    assert [len(part) for part in parts] == sizes
    assert np.concatenate(parts).tolist() == list(range(queries))


def test_a_query_that_is_a_key_does_not_find_itself() -> None:
    """Angles 0, 10, 40 and 50 degrees; 0 and 40 are of a kind, 10 and 50 of another. The nearest other is foreign."""
    angles = np.radians([0.0, 10.0, 40.0, 50.0])
    x = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    same = np.array([[1, 0, 1, 0], [0, 1, 0, 1]] * 2, np.bool_)
    before = same.copy()
    assert r_precision(x, x, same, np.arange(4)).tolist() == [0, 0, 0, 0]
    assert r_precision(x, x, same).tolist() == [0.5] * 4  # itself is the first of two
    assert np.array_equal(same, before)


def test_k_occurrences_count_the_queries_that_have_a_key_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key 1 lies between the queries: it is among the two nearest of each. Blocks do not matter."""
    keys = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], np.float32)
    queries = np.array([[1, 0], [0.96, 0.28], [0, 1]], np.float32)
    for at_once in (2**24, 4):
        monkeypatch.setattr(retrieval, "AT_ONCE", at_once)
        assert k_occurrences(queries, keys, 2).tolist() == [2, 3, 1, 0]
        assert k_occurrences(queries, keys, 4).tolist() == [3, 3, 3, 3]
