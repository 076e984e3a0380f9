from __future__ import annotations

import numpy as np

from cu_core.metrics.retrieval import found_within


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
