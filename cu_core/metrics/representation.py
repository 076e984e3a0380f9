"""What frozen features still tell. N rows, D width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


def linear_probe(train_ND: Features, labels: Labels, test_ND: Features, test_labels: Labels) -> NDArray[np.bool_]:
    """Fit a class-balanced multinomial logistic regression on standardised features; correctness per test row."""
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
    vote = KNeighborsClassifier(neighbours, metric="cosine").fit(train_ND, labels)
    return np.asarray(vote.predict(test_ND) == test_labels)


def mean_cosine(x_ND: Features) -> tuple[float, float]:
    """Mean cosine over all pairs of different rows, and its standard error (of a U-statistic: Hoeffding 1948).

    Raises: ValueError for fewer than three rows.
    """
    if len(x_ND) < 3:
        raise ValueError("a mean cosine needs three rows or more.")
    rows = unit(x_ND.astype(np.float64))
    with_others = (rows @ rows.sum(0) - 1) / (len(rows) - 1)
    return float(with_others.mean()), 2 * float(with_others.std(ddof=1)) / float(np.sqrt(len(rows)))


def prototype_recovery(
    forget_ND: Features,
    retain_ND: Features,
    retain_labels: Labels,
    test_ND: Features,
    *,
    shots: int,
    draws: int,
    seed: int,
) -> float:
    """Share of forgotten-class test rows that lie nearest (cosine) to the mean of ``shots`` forget rows, against the
    means of the retained classes; mean over ``draws`` (Snell et al. 2017, prototypical networks)."""
    retained = np.stack([unit(retain_ND[retain_labels == c]).mean(0) for c in np.unique(retain_labels)])
    rest = (unit(test_ND) @ unit(retained).T).max(1)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        chosen = rng.choice(len(forget_ND), size=min(shots, len(forget_ND)), replace=False)
        prototype = unit(unit(forget_ND[chosen]).mean(0, keepdims=True))
        found.append((unit(test_ND) @ prototype[0] > rest).mean())
    return float(np.mean(found))
