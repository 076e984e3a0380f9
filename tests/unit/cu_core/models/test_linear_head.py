"""A fitted head on features where the right classes are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from cu_core.models.linear_head import linear_head


def features(labels: list[int], each: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Normal features around 3 x the class's axis of four, far from the origin, one of them constant."""
    rng, wanted = np.random.default_rng(seed), np.repeat(labels, each)
    x = rng.normal(size=(len(wanted), 5)) + 3 * np.eye(5)[wanted] + 100
    x[:, 4] = 7
    return x.astype(np.float32), wanted


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [1, 3]], ids=["all classes", "two of four"])
def test_the_probabilities_are_those_of_the_regression_on_standardised_features(labels: list[int]) -> None:
    x, y = features(labels)
    weight, bias = linear_head(x, y, 4)
    assert (weight.shape, bias.shape) == ((4, 5), (4,))
    p = softmax(x @ weight.T + bias, axis=1)
    scaled = StandardScaler().fit_transform(x.astype(np.float64))
    want = LogisticRegression(max_iter=1000).fit(scaled, y).predict_proba(scaled)
    np.testing.assert_allclose(p[:, labels], want, atol=1e-5)
    assert (p[:, labels].argmax(1) == np.searchsorted(labels, y)).mean() > 0.95


def test_a_class_without_rows_is_never_answered() -> None:
    """Of K seen classes the largest logit is at least their mean, and the unseen one lies 20 below that."""
    x, y = features([0, 1, 3])
    weight, bias = linear_head(x, y, 4)
    far = np.random.default_rng(1).normal(size=(200, 5)) * 1000
    logits = far @ weight.T + bias
    np.testing.assert_allclose(logits[:, 2], logits[:, [0, 1, 3]].mean(1) - 20, atol=1e-6)
    assert softmax(x @ weight.T + bias, axis=1)[:, 2].max() <= np.exp(-20)


def test_a_single_class_is_always_answered() -> None:
    x, y = features([2])
    weight, bias = linear_head(x, y, 4)
    assert np.isfinite(weight).all()
    assert set((x @ weight.T + bias).argmax(1)) == {2}
