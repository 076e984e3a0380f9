from __future__ import annotations

import numpy as np
import pytest
from scipy.special import polygamma

from cu_core.audit.spread import Limits, Spread, prior_of, priors_of


def test_equal_spreads_give_the_variance_with_much_freedom() -> None:
    """Variances that differ no more than chi-squares do: all freedom there is."""
    rng = np.random.default_rng(0)
    prior = prior_of([Spread(4, 9 * rng.chisquare(4) / 4) for _ in range(300)])
    assert prior is not None
    assert prior.variance == pytest.approx(9, rel=0.1)
    assert prior.freedom > 30


def test_what_the_prior_was_drawn_from_is_found() -> None:
    """Variances from a scaled inverse chi-square with 6 degrees of freedom around 4, each seen with 4."""
    rng = np.random.default_rng(1)
    true = 4 * 6 / rng.chisquare(6, size=4000)
    prior = prior_of([Spread(4, v * rng.chisquare(4) / 4) for v in true])
    assert prior is not None
    assert prior.variance == pytest.approx(4, rel=0.06)
    assert prior.freedom == pytest.approx(6, rel=0.15)


def test_moments_by_hand() -> None:
    """Log variances 0, 2, 4 of two degrees of freedom: their variance is 4, trigamma(1) = pi^2 / 6."""
    prior = prior_of([Spread(2, float(np.exp(v))) for v in (0.0, 2.0, 4.0)])
    assert prior is not None
    assert float(polygamma(1, prior.freedom / 2)) == pytest.approx(4 - np.pi**2 / 6)
    assert np.log(prior.variance) == pytest.approx(
        2 - float(polygamma(0, 1)) + float(polygamma(0, prior.freedom / 2)) - np.log(prior.freedom / 2)
    )


def test_fewer_than_three_requests_are_no_prior() -> None:
    known = Spread(2, 1.0)
    assert prior_of([known, known]) is None
    assert prior_of([known, known, Spread(2, 0.0), Spread(0, 3.0)]) is None
    assert set(priors_of([{"a": known, "b": known}, {"a": known}, {"a": known}])) == {"a"}


def test_the_detection_limit_is_the_smallest_amount_from_which_on_all_are_told() -> None:
    def detected(**told: int) -> float | None:
        return Limits(5, 0.05, (0, 9), {float(k[1:]): (v, 10) for k, v in told.items()}, {}).detected

    assert detected(p1=0, p10=8, p25=10) == 10
    assert detected(p1=9, p10=7, p25=10) == 25
    assert detected(p1=9, p10=10, p25=7) is None
