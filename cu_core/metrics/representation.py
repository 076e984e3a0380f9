"""What frozen features still tell. N rows, D width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


def linear_probe(train_ND: Features, labels: Labels, test_ND: Features, test_labels: Labels) -> NDArray[np.bool_]:
    """Fit a class-balanced multinomial logistic regression on standardised features; correctness per test row."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, class_weight="balanced"))
    probe.fit(train_ND, labels)
    return np.asarray(probe.predict(test_ND) == test_labels)


def unit(x_ND: NDArray[np.floating]) -> NDArray[np.floating]:
    """Rows at length one."""
    return x_ND / np.maximum(np.linalg.norm(x_ND, axis=1, keepdims=True), 1e-12)  # type: ignore[no-any-return]


def nearest_neighbours(
    train_ND: Features, labels: Labels, test_ND: Features, test_labels: Labels, neighbours: int
) -> NDArray[np.bool_]:
    """Majority of the ``neighbours`` nearest train rows by cosine; correctness per test row."""
    from sklearn.neighbors import KNeighborsClassifier

    vote = KNeighborsClassifier(neighbours, metric="cosine").fit(train_ND, labels)
    return np.asarray(vote.predict(test_ND) == test_labels)


def mean_cosine(x_ND: Features, labels: Labels) -> tuple[float, float]:
    """Mean cosine of a row with the other rows of its class, and its standard error (of a U-statistic: Hoeffding 1948).

    Raises: ValueError for a class of fewer than three rows.
    """
    x_ND = unit(x_ND.astype(np.float64))
    with_others = np.empty(len(x_ND))
    for own in np.unique(labels):
        rows = x_ND[labels == own]
        if len(rows) < 3:
            raise ValueError("a mean cosine needs three rows or more of every class.")
        with_others[labels == own] = (rows @ rows.sum(0) - 1) / (len(rows) - 1)
    return float(with_others.mean()), 2 * float(with_others.std(ddof=1)) / float(np.sqrt(len(x_ND)))


def prototype_recovery(
    forget: tuple[Features, Labels],
    retain: tuple[Features, Labels],
    test: tuple[Features, Labels],
    *,
    shots: int,
    draws: int,
    seed: int,
) -> NDArray[np.float64]:
    """(N,): in which share of ``draws`` a forgotten-class test row lies nearest (cosine) to the mean of ``shots``
    forget rows of its own class, against the means of all other classes (Snell et al. 2017, prototypical networks)."""
    retained = _prototypes(*retain)
    points, classes = unit(test[0]), np.unique(forget[1])
    rest = (points @ retained.T).max(1)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        few = [_draw(rng, np.nonzero(forget[1] == own)[0], shots) for own in classes]
        chosen = np.concatenate(few)
        similarity = points @ _prototypes(forget[0][chosen], forget[1][chosen]).T
        nearest = classes[similarity.argmax(1)] == test[1]
        found.append(nearest & (similarity.max(1) > rest))
    return np.asarray(np.mean(found, axis=0), dtype=np.float64)


def _draw(rng: np.random.Generator, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return rng.choice(rows, size=min(count, len(rows)), replace=False)


def _prototypes(x_ND: Features, labels: Labels) -> NDArray[np.floating]:
    """(classes, D): mean direction of every class, at length one."""
    return unit(np.stack([unit(x_ND[labels == own]).mean(0) for own in np.unique(labels)]))
