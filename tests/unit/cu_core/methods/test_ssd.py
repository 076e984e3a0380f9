from __future__ import annotations

import numpy as np
import pytest

from cu_core.methods.ssd import SSD, importances
from tests.unit.cu_core.methods.tiny import Linear, preparation

# Both classes answer 1/2 on every row, so the gradient of a row is (+-1/2) x and its square x^2 / 4.
WEIGHT = [[1.0, 2.0], [1.0, 2.0]]
ROWS, LABELS = [[200.0, 0.0], [100.0, 100.0]], [0, 1]


def test_importance_is_the_mean_squared_gradient_of_each_row() -> None:
    prep = preparation(Linear(WEIGHT), ROWS, LABELS, forget=[0])
    both = importances(prep, np.array([0, 1]))
    assert both["weight"].tolist() == [[pytest.approx((1 + 0.25) / 2), pytest.approx(0.25 / 2)]] * 2


def test_weights_of_the_forget_row_shrink_by_the_ratio() -> None:
    model = Linear(WEIGHT)
    # Forget row (2, 0): importance 1 and 0. Retain row (1, 1): 1/4 and 1/4. Only the first exceeds 3 x the rest.
    assert SSD(alpha=3.0, lambda_dampening=2.0).prepare(preparation(model, ROWS, LABELS, forget=[0])) == 2
    assert model.body.weight.tolist() == [[pytest.approx(2 * 0.25), 2.0]] * 2
    untouched = Linear(WEIGHT)
    SSD(alpha=5.0).prepare(preparation(untouched, ROWS, LABELS, forget=[0]))
    assert untouched.body.weight.tolist() == WEIGHT
