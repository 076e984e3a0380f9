from __future__ import annotations

import numpy as np
import pytest

from cu_core.audit.oracle_gap import band, oracle_gap
from cu_core.audit.subject import AuditConfig
from cu_core.audit.verdict import judge
from cu_core.types import MetricResult

CONFIG = AuditConfig()


def figures(
    forget: float, retain: float = 99, test: float = 90, auc: float = 0.5, js: float = 0.01
) -> dict[str, MetricResult]:
    def rate(value: float) -> MetricResult:
        return MetricResult(value, 500, max(value - 1, 0), min(value + 1, 100))

    return {
        "forget_accuracy": rate(forget),
        "retain_accuracy": rate(retain),
        "test_accuracy": rate(test),
        "mia_auc": MetricResult(auc, 500),
        "forget_js": MetricResult(js, 500),
    }


ORIGINAL = figures(99, auc=0.6, js=0.3)
ORACLES = [figures(85), figures(85.2), figures(84.8), figures(85.1)]


def test_gap_is_the_mean_distance_in_points() -> None:
    gap = oracle_gap(figures(84, 98, 92, 0.53), [figures(84), figures(86)])
    assert gap.per_metric == pytest.approx(
        {"forget_accuracy": -1, "retain_accuracy": -1, "test_accuracy": 2, "mia_auc": 3}
    )
    assert gap.mean == pytest.approx((1 + 1 + 2 + 3) / 4)
    assert gap.tug_of_war == pytest.approx(0.99 * 0.99 * 0.98)


def test_there_is_no_gap_without_an_oracle() -> None:
    with pytest.raises(ValueError, match="at least one oracle"):
        oracle_gap(ORIGINAL, [])
    assert judge(ORIGINAL, ORACLES[0], [], CONFIG).word == "inconclusive"


def test_tolerance_is_the_larger_of_margin_and_moderated_prediction_interval() -> None:
    def figure(value: float) -> dict[str, MetricResult]:
        return {"forget_accuracy": MetricResult(value, 9, value - 1.96, value + 1.96)}  # standard error 1

    def tolerance(oracles: list[dict[str, MetricResult]], margin: float) -> float:
        found = band("forget_accuracy", oracles, margin, 0.05)
        assert found is not None
        return found.tolerance

    assert tolerance([figure(85)], 30) == 30
    # one oracle: sampling error alone, t(4, .975) = 2.776, sqrt(1 + 1/1)
    assert tolerance([figure(85)], 0.5) == pytest.approx(2.776 * 2**0.5, rel=1e-3)
    # 80, 85, 90: variance 25 with weight 2, sampling variance 1 with weight 4, t(6, .975) = 2.447
    three = [figure(80), figure(85), figure(90)]
    assert band("forget_accuracy", [{"forget_accuracy": MetricResult(85, 9)}], 3, 0.05) is None
    expected = 2.447 * ((2 * 25 + 4 * 1) / 6) ** 0.5 * (4 / 3) ** 0.5
    assert tolerance(three, 0.5) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("unlearned", "word", "audit"),
    [
        (figures(85.5), "indistinguishable", "accuracy"),
        (ORIGINAL, "under-forgotten", "accuracy"),
        (figures(70), "over-forgotten", "accuracy"),
        (figures(85, test=80), "over-forgotten", "accuracy"),
        (figures(85, auc=0.6), "under-forgotten", "membership"),
        (figures(85, auc=0.4), "over-forgotten", "membership"),
        (figures(85, js=0.2), "over-forgotten", "output_distance"),
        (figures(85, js=0.0), "indistinguishable", "output_distance"),
    ],
)
def test_each_verdict(unlearned: dict[str, MetricResult], word: str, audit: str) -> None:
    verdict = judge(ORIGINAL, unlearned, ORACLES, CONFIG)
    assert verdict.word == word
    assert verdict.audits[audit].word == word


def test_without_power_nothing_is_concluded() -> None:
    verdict = judge(figures(86), figures(85), ORACLES, CONFIG)
    assert verdict.word == "inconclusive"
    assert "no power" in verdict.reason


def test_damage_is_said_also_where_the_original_passes() -> None:
    assert judge(figures(86), figures(85, test=70), ORACLES, CONFIG).word == "over-forgotten"


def test_two_oracles_are_no_control() -> None:
    verdict = judge(ORIGINAL, figures(85), [figures(85), figures(85)], CONFIG)
    assert verdict.word == "inconclusive"
    assert "fewer than 3 oracles" in verdict.reason


def test_an_audit_that_held_out_oracles_fail_says_nothing() -> None:
    odd = [figures(85, js=x) for x in (0.01, 0.01, 0.01, 0.3)]
    verdict = judge(ORIGINAL, figures(85), odd, CONFIG)
    assert verdict.audits["output_distance"].word == "inconclusive"
    assert "held-out oracles fail" in verdict.audits["output_distance"].reason


@pytest.mark.parametrize("interval", [False, True])
def test_an_oracle_fails_as_often_as_stated(interval: bool) -> None:
    """Normal figures, 4 judged metrics, family error 20%: one more oracle is told from the others in at most 20%
    (a utility figure above the others counts as none)."""
    rng = np.random.default_rng(0)
    config = AuditConfig(family_error=0.2, margin_points=1e-6)

    def figure(scale: float) -> MetricResult:
        value = rng.normal(50, 1) * scale
        return (
            MetricResult(value, 9, value - 1.96 * scale, value + 1.96 * scale) if interval else MetricResult(value, 9)
        )

    def draw() -> dict[str, MetricResult]:
        rates = ("forget_accuracy", "retain_accuracy", "test_accuracy")
        return {**{name: figure(1) for name in rates}, "mia_auc": figure(0.01)}

    told = sum(bool(judge(ORIGINAL, draw(), [draw() for _ in range(5)], config).outside) for _ in range(400))
    assert 0.05 < told / 400 < 0.24
