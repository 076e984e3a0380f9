from __future__ import annotations

import numpy as np
import pytest

from cu_core.metrics.ensembles import forgetting_epsilon, forgetting_quality, klom


def test_klom_by_hand() -> None:
    """Two models a side in opposite end bins; 20 bins share one pseudo-count."""
    a, b = np.array([[0.0], [0.0]]), np.array([[1.0], [1.0]])
    full, empty = (2 + 0.05) / 3, 0.05 / 3
    assert klom(a, b) == pytest.approx([full * np.log(full / empty) + empty * np.log(empty / full)])
    assert klom(a, a) == pytest.approx([0])


def test_klom_needs_its_null(rng: np.random.Generator) -> None:
    """Equal ensembles are far from 0, and no farther than two halves of one; shifted ones are."""
    same, other, shifted = (rng.normal(shift, 1, (64, 200)) for shift in (0, 0, 3))
    null = np.quantile(klom(same[:32], same[32:]), 0.95)
    assert null > 0.5
    assert abs(np.quantile(klom(same[:32], other[:32]), 0.95) - null) < 0.3
    assert np.quantile(klom(same[:32], shifted[:32]), 0.95) > null + 0.5


def test_epsilon_of_separate_and_of_equal_ensembles(rng: np.random.Generator) -> None:
    oracle = rng.normal(size=(16, 60))
    apart = forgetting_epsilon(rng.normal(20, 1, (16, 60)), oracle)
    largest = np.log((1 - 0.01 - 0.5 / 17) / (0.5 / 17))
    assert apart == pytest.approx(np.full(60, largest))
    equal = forgetting_epsilon(rng.normal(size=(16, 60)), oracle)
    assert np.median(equal) < 0.7
    assert forgetting_quality(apart) < 0.05 < 0.5 < forgetting_quality(equal)


def test_an_attack_also_works_downwards(rng: np.random.Generator) -> None:
    oracle = rng.normal(size=(16, 5))
    assert forgetting_epsilon(oracle - 20, oracle).min() > 3


def test_quality_by_hand() -> None:
    assert forgetting_quality(np.array([0.0, 0.49])) == 1
    assert forgetting_quality(np.array([0.5])) == 0.5
    assert forgetting_quality(np.array([0.0, 1.0])) == pytest.approx((1 + 0.25) / 2)
