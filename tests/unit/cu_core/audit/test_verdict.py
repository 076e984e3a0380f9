from __future__ import annotations

import pytest

from cu_core.audit.oracle_gap import oracle_gap, tolerance
from cu_core.audit.verdict import judge
from cu_core.types import MetricResult


def figures(forget: float, retain: float = 99, test: float = 90, auc: float = 0.5) -> dict[str, MetricResult]:
    def rate(value: float) -> MetricResult:
        return MetricResult(value, 500, max(value - 1, 0), min(value + 1, 100))

    return {
        "forget_accuracy": rate(forget),
        "retain_accuracy": rate(retain),
        "test_accuracy": rate(test),
        "mia_auc": MetricResult(auc, 500),
    }


ORIGINAL, ORACLE = figures(99), figures(85)


def test_gap_is_the_mean_distance_in_points() -> None:
    gap = oracle_gap(figures(84, 98, 92, 0.53), [figures(84), figures(86)])
    assert gap.per_metric == pytest.approx(
        {"forget_accuracy": -1, "retain_accuracy": -1, "test_accuracy": 2, "mia_auc": 3}
    )
    assert gap.mean == pytest.approx((1 + 1 + 2 + 3) / 4)


def test_there_is_no_gap_without_an_oracle() -> None:
    with pytest.raises(ValueError, match="at least one oracle"):
        oracle_gap(ORIGINAL, [])
    assert judge(ORIGINAL, ORACLE, [], 3).word == "inconclusive"


def test_tolerance_is_the_largest_of_margin_spread_and_counting_error() -> None:
    assert tolerance("forget_accuracy", [figures(85)], 3) == 3
    assert tolerance("forget_accuracy", [figures(85)], 0.5) == 1
    # K = 2, values 80 and 90: t(1, .975) = 12.706, sd = 7.07, sqrt(1 + 1/2) = 1.2247
    assert tolerance("forget_accuracy", [figures(80), figures(90)], 3) == pytest.approx(
        12.706 * 7.0711 * 1.22474, rel=1e-3
    )


@pytest.mark.parametrize(
    ("unlearned", "word"),
    [
        (figures(85.5), "indistinguishable"),
        (ORIGINAL, "under-forgotten"),
        (figures(70), "over-forgotten"),
        (figures(85, test=80), "over-forgotten"),
        (figures(85, auc=0.6), "under-forgotten"),
        (figures(85, auc=0.4), "over-forgotten"),
    ],
)
def test_each_verdict(unlearned: dict[str, MetricResult], word: str) -> None:
    assert judge(ORIGINAL, unlearned, [ORACLE], 3).word == word


def test_without_power_nothing_is_concluded() -> None:
    verdict = judge(figures(86), figures(85), [ORACLE], 3)
    assert verdict.word == "inconclusive"
    assert "no power" in verdict.reason
