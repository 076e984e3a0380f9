"""Class information in frozen features. N rows, D width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


def linear_probe(train_ND: Features, labels: Labels, test_ND: Features, test_labels: Labels) -> NDArray[np.bool_]:
    """Fit a class-balanced multinomial logistic regression on standardised features.

    Args:
        train_ND: Features to fit on.
        labels: Their labels.
        test_ND: Features to score.
        test_labels: Their labels.

    Returns:
        Whether each test row is correct.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, class_weight="balanced"))
    probe.fit(train_ND, labels)
    return np.asarray(probe.predict(test_ND) == test_labels)


def unit(x_ND: NDArray[np.floating]) -> NDArray[np.floating]:
    """Scale the rows to length one."""
    return x_ND / np.maximum(np.linalg.norm(x_ND, axis=1, keepdims=True), 1e-12)  # type: ignore[no-any-return]


def nearest_neighbours(
    train_ND: Features, labels: Labels, test_ND: Features, test_labels: Labels, neighbours: int
) -> NDArray[np.bool_]:
    """Classify each test row by the majority of its nearest train rows by cosine.

    Args:
        train_ND: Features of the train rows.
        labels: Their labels.
        test_ND: Features of the test rows.
        test_labels: Their labels.
        neighbours: Number of neighbours.

    Returns:
        Whether each test row is correct.
    """
    from sklearn.neighbors import KNeighborsClassifier

    vote = KNeighborsClassifier(neighbours, metric="cosine").fit(train_ND, labels)
    return np.asarray(vote.predict(test_ND) == test_labels)


def mean_cosine(x_ND: Features, labels: Labels) -> tuple[float, float]:
    """Compute the mean cosine of a row with the other rows of its class.

    Returns:
        The mean, and its standard error (of a U-statistic: Hoeffding 1948).

    Raises:
        ValueError: A class has fewer than three rows.
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
    """Measure how often a few forget rows suffice to recognise test rows of a forgotten class.

    In each draw, a prototype is the mean of ``shots`` forget rows of a class (Snell et al. 2017, prototypical
    networks). A test row is recovered if it lies nearest (cosine) to the prototype of its own class, against the means
    of all other classes.

    Args:
        forget: Features and labels of the forget rows.
        retain: Features and labels of the retain rows.
        test: Features and labels of test rows of the forgotten classes.
        shots: Forget rows of a prototype.
        draws: Number of draws.
        seed: Seed of the draws.

    Returns:
        The share of draws in which each test row is recovered, (N,).
    """
    retained = _prototypes(*retain)
    points, classes = unit(test[0]), np.unique(forget[1])
    rest = (points @ retained.T).max(1)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        few = [draw_rows(rng, np.nonzero(forget[1] == own)[0], shots) for own in classes]
        chosen = np.concatenate(few)
        similarity = points @ _prototypes(forget[0][chosen], forget[1][chosen]).T
        nearest = classes[similarity.argmax(1)] == test[1]
        found.append(nearest & (similarity.max(1) > rest))
    return np.asarray(np.mean(found, axis=0), dtype=np.float64)


def draw_rows(rng: np.random.Generator, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Draw at most ``count`` of these rows, each at most once."""
    return rng.choice(rows, size=min(count, len(rows)), replace=False)


def _prototypes(x_ND: Features, labels: Labels) -> NDArray[np.floating]:
    """Compute the mean direction of every class at length one, (classes, D)."""
    return unit(np.stack([unit(x_ND[labels == own]).mean(0) for own in np.unique(labels)]))
