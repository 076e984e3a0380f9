"""A linear classifier on fixed features, as weights of a head. N rows, D width, C classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Labels = NDArray[np.int64]

UNSEEN_LOGIT = -20.0
"""Of a class without rows, below the mean logit of the others: its probability is at most exp(-20)."""


def linear_head(
    features_ND: Features, labels: Labels, num_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a multinomial logistic regression on standardised features.

    Args:
        features_ND: Features.
        labels: Their labels.
        num_classes: C. A class without rows gets the mean of the other classes' rows, with ``UNSEEN_LOGIT`` added.

    Returns:
        Weight (C, D) and bias (C,), for the features as they are.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x = features_ND.astype(np.float64)
    classes = np.unique(labels)
    scaler = StandardScaler().fit(x)
    if len(classes) > 1:
        fitted = LogisticRegression(max_iter=1000).fit(scaler.transform(x), labels)
        coefficients, intercepts = fitted.coef_, fitted.intercept_
        if len(classes) == 2:  # one row, for the second class against the first
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
    else:
        coefficients, intercepts = np.zeros((1, x.shape[1])), np.zeros(1)
    rows = coefficients / scaler.scale_
    biases = intercepts - rows @ scaler.mean_
    weight = np.tile(rows.mean(0), (num_classes, 1))
    bias = np.full(num_classes, biases.mean() + UNSEEN_LOGIT)
    weight[classes], bias[classes] = rows, biases
    return weight, bias
