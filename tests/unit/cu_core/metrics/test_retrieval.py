from __future__ import annotations

import numpy as np

from cu_core.metrics.retrieval import found_within, r_precision


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
