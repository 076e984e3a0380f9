from __future__ import annotations

import numpy as np
import pytest

from cu_core.metrics.representation import linear_probe, mean_cosine, nearest_neighbours, prototype_recovery


def blobs(rng: np.random.Generator, centres: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(len(centres)), each)
    return (centres[labels] + 0.05 * rng.normal(size=(len(labels), centres.shape[1]))).astype(np.float32), labels


def test_a_separable_class_is_found_and_one_that_hides_in_another_is_not(rng: np.random.Generator) -> None:
    """Exactly: train rows of the class lie apart, and of 10 unseen ones 7 where they lie, 3 among another class."""
    axes = np.eye(3)
    x, y = blobs(rng, axes, 20)
    places = np.array([2] * 7 + [1] * 3)
    unseen = axes[places].astype(np.float32)
    truth = np.full(10, 2)
    assert linear_probe(x, y, unseen, truth).tolist() == (places == 2).tolist()
    assert linear_probe(x, y, x, y).all()  # on its own rows it is right throughout
    assert nearest_neighbours(x, y, unseen, truth, 5).tolist() == (places == 2).tolist()
    gone = y == 2
    share = prototype_recovery((x[gone], y[gone]), (x[~gone], y[~gone]), (unseen, truth), shots=5, draws=4, seed=0)
    assert share.tolist() == (places == 2).astype(float).tolist()


def test_the_probe_gives_every_class_the_same_weight_and_every_feature_the_same_scale() -> None:
    """5 rows against 500 at -1 and 1 of a feature: balanced, the border lies at 0, whatever the feature's unit."""
    labels = np.array([0] * 5 + [1] * 500)
    for unit in (1.0, 1e-4):
        x = unit * np.where(labels == 0, -1.0, 1.0)[:, None].astype(np.float32)
        points = unit * np.array([[-0.1], [0.1]], np.float32)
        assert linear_probe(x, labels, points, np.array([0, 1])).tolist() == [True, True]


def test_shots_are_as_many_as_asked_and_drawn_with_the_seed() -> None:
    """One forget row in four lies along its class, the others along the retained one: of single shots a quarter
    recovers, of all four together none (their mean lies nearer to the retained axis)."""
    forget = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], np.float32)
    retain, test = np.array([[0.0, 1.0]], np.float32), np.array([[1.0, 0.0]], np.float32)
    sets = (forget, np.full(4, 1)), (retain, np.array([0])), (test, np.array([1]))
    shares = [float(prototype_recovery(*sets, shots=1, draws=400, seed=seed).mean()) for seed in (0, 0, 1)]
    assert shares[0] == shares[1]
    assert shares[0] != shares[2]
    assert all(abs(share - 0.25) < 4 * (0.25 * 0.75 / 400) ** 0.5 for share in shares)
    assert prototype_recovery(*sets, shots=4, draws=3, seed=0) == 1  # 0.32 along it against 0
    ones = np.array([0.8, 0.6], np.float32)[None]
    assert prototype_recovery(sets[0], sets[1], (ones, np.array([1])), shots=4, draws=3, seed=0) == 1
    tilted = np.array([0.1, 0.995], np.float32)[None]
    assert prototype_recovery(sets[0], sets[1], (tilted, np.array([1])), shots=4, draws=3, seed=0) == 0


def test_several_forgotten_classes_have_a_prototype_each(rng: np.random.Generator) -> None:
    x, y = blobs(rng, np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 1]]), 20)
    gone = y >= 2
    share = prototype_recovery((x[gone], y[gone]), (x[~gone], y[~gone]), (x[gone], y[gone]), shots=5, draws=3, seed=0)
    assert (share == 1).all()
    together = np.where(y[gone] == 2, 3, 2)  # every row labelled as the other class
    share = prototype_recovery((x[gone], together), (x[~gone], y[~gone]), (x[gone], y[gone]), shots=5, draws=3, seed=0)
    assert (share == 0).all()
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
