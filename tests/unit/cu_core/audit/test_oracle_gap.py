from __future__ import annotations

import numpy as np
import pytest

from cu_core.audit.oracle_gap import band, oracle_gap, spread_of, spreads_of
from cu_core.audit.spread import Prior
from cu_core.audit.table import METRICS
from cu_core.types import MetricResult


def oracles(name: str, *points: float, count: int = 10_000) -> list[dict[str, MetricResult]]:
    return [{name: MetricResult(value / METRICS[name].scale, count)} for value in points]


def test_gap_is_the_mean_distance_in_points() -> None:
    def model(forget: float, retain: float, test: float, auc: float) -> dict[str, MetricResult]:
        rates = {"forget_accuracy": forget, "retain_accuracy": retain, "test_accuracy": test, "mia_auc": auc}
        return {name: MetricResult(value, 500) for name, value in rates.items()}

    gap = oracle_gap(model(84, 98, 92, 0.53), [model(84, 99, 90, 0.5), model(86, 99, 90, 0.5)])
    assert gap.per_metric == pytest.approx(
        {"forget_accuracy": -1, "retain_accuracy": -1, "test_accuracy": 2, "mia_auc": 3}
    )
    assert gap.mean == pytest.approx((1 + 1 + 2 + 3) / 4)
    assert gap.tug_of_war == pytest.approx(0.99 * 0.99 * 0.98)


def test_there_is_no_gap_without_an_oracle() -> None:
    with pytest.raises(ValueError, match="at least one oracle"):
        oracle_gap(oracles("forget_accuracy", 1.0)[0], [])


def test_the_prediction_interval_is_that_of_students_t() -> None:
    """80, 85, 90: standard deviation 5, t(2, .975) = 4.3027, sqrt(1 + 1/3)."""
    found = band("test_accuracy", oracles("test_accuracy", 80, 85, 90), 3, 0.05)
    assert found is not None
    assert (found.spread, found.freedom, found.margin) == (pytest.approx(5), 2, 3)
    assert found.prediction == pytest.approx(4.302653 * 5 * (4 / 3) ** 0.5, rel=1e-6)
    assert found.tolerance == found.prediction
    wide = band("test_accuracy", oracles("test_accuracy", 80, 85, 90), 30, 0.05)
    assert wide is not None
    assert wide.tolerance == 30


def test_a_prior_weighs_in_with_its_freedom() -> None:
    """Variance 25 of 2 and 4 of 6 degrees of freedom: (50 + 24) / 8; t(8, .975) = 2.3060."""
    found = band("test_accuracy", oracles("test_accuracy", 80, 85, 90), 3, 0.05, Prior(6, 4))
    assert found is not None
    assert found.freedom == 8
    assert found.prediction == pytest.approx(2.306004 * (74 / 8) ** 0.5 * (4 / 3) ** 0.5, rel=1e-6)
    assert band("test_accuracy", oracles("test_accuracy", 80), 3, 0.05) is None
    alone = band("test_accuracy", oracles("test_accuracy", 80), 3, 0.05, Prior(8, 1))
    assert alone is not None
    assert alone.prediction == pytest.approx(2.306004 * 2**0.5, rel=1e-6)


def test_no_figure_is_known_better_than_by_one_row() -> None:
    """Three oracles without a right answer among 50 rows: a step of 2 points, its variance 4 / 12."""
    found = band("forget_test_accuracy", oracles("forget_test_accuracy", 0, 0, 0, count=50), 0.1, 0.05)
    assert found is not None
    assert found.spread == pytest.approx((4 / 12) ** 0.5)


@pytest.mark.parametrize(("name", "factor"), [("forget_js", 3 / 2), ("memorisation_left", 3 / 4), ("mia_auc", 1.0)])
def test_figures_measured_from_other_oracles_spread_as_single_ones(name: str, factor: float) -> None:
    freedom, variance = spread_of(name, oracles(name, 1, 2, 3, 6))
    assert freedom == 3
    assert variance == pytest.approx(np.var([1, 2, 3, 6], ddof=1) * factor**2)
    least = 2 if name == "mia_auc" else 3
    assert spread_of(name, oracles(name, *range(least - 1)))[0] == 0
    assert spread_of(name, oracles(name, *range(least)))[0] == least - 1


@pytest.mark.parametrize("side", ["distance", "projection"])
def test_the_correction_is_right_for_normal_oracles(side: str) -> None:
    """Distances to K - 1 others that are sums of a part of each model, projections as x_k less their mean, of draws
    with standard deviation 1: the variance that is found is 1."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(4000):
        x = rng.normal(size=5)
        if side == "projection":
            name, values = "memorisation_left", [x[k] - np.delete(x, k).mean() for k in range(5)]
        else:  # a distance with a part of each of the two models: u_k + u_j, averaged over the others
            name, values = "forget_js", [x[k] + np.delete(x, k).mean() for k in range(5)]
        found.append(spread_of(name, oracles(name, *values))[1])
    assert np.mean(found) == pytest.approx(1, abs=0.04)


def test_parts_of_a_metric_for_single_classes_count_as_one() -> None:
    parts = [("prototype_recovery/3", (10, 12)), ("prototype_recovery/8", (10, 16)), ("relearn_5", (1, 1))]
    made = [{name: MetricResult(values[i], 500) for name, values in parts} for i in range(2)]
    found = spreads_of(["prototype_recovery/3", "prototype_recovery/8", "relearn_5", "mia_auc"], made)
    assert set(found) == {"prototype_recovery", "relearn_5"}
    assert (found["prototype_recovery"].freedom, found["prototype_recovery"].variance) == (
        1,
        pytest.approx((2 + 18) / 2),
    )
