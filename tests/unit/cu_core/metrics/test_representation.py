from __future__ import annotations

import numpy as np
import pytest

from cu_core.metrics.representation import linear_probe, mean_cosine, nearest_neighbours, prototype_recovery


def blobs(rng: np.random.Generator, centres: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(len(centres)), each)
    return (centres[labels] + 0.05 * rng.normal(size=(len(labels), centres.shape[1]))).astype(np.float32), labels


def test_a_separable_class_is_found_and_one_that_hides_in_another_is_not(rng: np.random.Generator) -> None:
    apart = np.eye(3)
    hidden = np.stack([apart[0], apart[1], apart[1]])
    for centres, probe, recovered in ((apart, 1.0, 1.0), (hidden, 0.5, 0.5)):
        x, y = blobs(rng, centres, 40)
        train, gone = np.tile(np.arange(40) < 20, 3), y == 2
        correct = linear_probe(x[train], y[train], x[~train & gone], y[~train & gone])
        forget, retain, test = ((x[rows], y[rows]) for rows in (train & gone, train & ~gone, ~train & gone))
        share = prototype_recovery(forget, retain, test, shots=5, draws=20, seed=0)
        assert abs(correct.mean() - probe) < 0.35
        assert abs(share - recovered) < 0.35


def test_several_forgotten_classes_have_a_prototype_each(rng: np.random.Generator) -> None:
    x, y = blobs(rng, np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 1]]), 20)
    gone = y >= 2
    share = prototype_recovery((x[gone], y[gone]), (x[~gone], y[~gone]), (x[gone], y[gone]), shots=5, draws=3, seed=0)
    assert share == 1.0
    together = np.where(y[gone] == 2, 3, 2)  # every row labelled as the other class
    share = prototype_recovery((x[gone], together), (x[~gone], y[~gone]), (x[gone], y[gone]), shots=5, draws=3, seed=0)
    assert share == 0.0
    assert mean_cosine(x[gone], y[gone])[0] > 0.95 > mean_cosine(x[gone], 0 * y[gone])[0]


def test_mean_cosine_by_hand() -> None:
    x = np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]], dtype=np.float32)
    mean, error = mean_cosine(x, np.zeros(3, np.int64))
    assert mean == pytest.approx((0 - 1 + 0) / 3)
    assert error == pytest.approx(2 * np.std([-0.5, 0, -0.5], ddof=1) / np.sqrt(3))
    with pytest.raises(ValueError, match="three rows"):
        mean_cosine(x[:2], np.zeros(2, np.int64))


def test_nearest_neighbours_vote_by_angle() -> None:
    train = np.array([[1, 0.1], [5, 0.2], [0.1, 1], [0.2, 7]], dtype=np.float32)
    labels = np.array([0, 0, 1, 1])
    right = nearest_neighbours(
        train, labels, np.array([[9, 1], [1, 9]], dtype=np.float32), np.array([0, 0]), neighbours=2
    )
    assert right.tolist() == [True, False]
