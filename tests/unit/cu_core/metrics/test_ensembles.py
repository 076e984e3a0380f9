from __future__ import annotations

import numpy as np
import pytest

from cu_core.metrics.ensembles import (
    _gaussian_attack,
    forgetting_epsilon,
    forgetting_quality,
    gaussian_divergence,
    klom,
)


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


def test_klom_is_that_of_numpy_s_histograms(rng: np.random.Generator) -> None:
    a, b = rng.normal(0, 1, (9, 30)), rng.normal(0.5, 2, (7, 30))
    a[:, 3] = b[:, 3] = 4.0  # all alike
    for row, value in enumerate(klom(a, b)):
        low, high = min(a[:, row].min(), b[:, row].min()), max(a[:, row].max(), b[:, row].max())
        edges = np.linspace(low, high if high > low else low + 1, 21)
        p, q = ((np.histogram(x[:, row], edges)[0] + 1 / 20) / (len(x) + 1) for x in (a, b))
        assert value == pytest.approx((p * np.log(p / q)).sum(), abs=1e-12)
    assert klom(a, b)[0] != pytest.approx(klom(b, a)[0])  # not symmetric


def test_gaussian_divergence_by_hand() -> None:
    """Three models a side, two rows. Own variances of a: 1 and 4, mean 2.5: (2 v + 4 * 2.5) / 6, so 2 and 3; of b: 4
    and 4: 4 both. Means 1 and 3 apart."""
    a = np.array([[-1.0, -2.0], [0.0, 0.0], [1.0, 2.0]])
    b = np.array([[-1.0, 1.0], [1.0, 3.0], [3.0, 5.0]])
    want = [0.5 * (2 / 4 - 1 - np.log(2 / 4) + 1 / 4), 0.5 * (3 / 4 - 1 - np.log(3 / 4) + 9 / 4)]
    assert gaussian_divergence(a, b) == pytest.approx(want, abs=1e-12)
    assert gaussian_divergence(a, a) == pytest.approx([0, 0], abs=1e-12)
    alike = np.ones((3, 2))
    assert gaussian_divergence(alike, alike).tolist() == [0, 0]


def test_the_gaussian_attack_judges_a_model_by_the_others() -> None:
    """Unlearned 0, 1 and, held out, 100; oracles 3, 5, 7. N(.5, .7) and N(5, 2) of the others: 100 is far likelier an
    oracle. Fitted with itself the unlearned are N(34, 57), and it is one of them."""
    values = np.array([[0.0], [1.0], [100.0], [3.0], [5.0], [7.0]])
    truth = np.array([True, True, True, False, False, False])
    assert [bool(_gaussian_attack(values, truth, m)[0]) for m in (2, 4)] == [False, False]
