from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cu_core.audit.oracle_gap import Figures
from cu_core.audit.subject import AuditConfig
from cu_core.audit.table import METRICS, Claim
from cu_core.audit.verdict import Rule, Verdict, judge
from cu_core.types import MetricResult

SAMPLES, ONE_CLASS = Claim("sample"), Claim("class", (5,))
CONFIG = AuditConfig()
MILDEST_FIRST = ("indistinguishable", "inconclusive", "over-forgotten", "under-forgotten")


def figures(**points: float) -> dict[str, MetricResult]:
    """Points of metrics, each of 500 rows."""
    return {name: MetricResult(value / METRICS[name].scale, 500) for name, value in points.items()}


def samples(**points: float) -> dict[str, MetricResult]:
    usual = {
        "forget_accuracy": 85.0,
        "test_accuracy": 85.0,
        "mia_auc": 50.0,
        "memorisation_left": 0.0,
        "forget_js": 2.0,
    }
    return figures(**{**usual, **points})


def of_class(**points: float) -> dict[str, MetricResult]:
    usual = {
        "forget_test_accuracy": 0.0,
        "test_accuracy": 90.0,
        "forget_js": 4.0,
        "prototype_recovery": 50.0,
        "within_class_cosine": 40.0,
        "relearn_5": 20.0,
    }
    return figures(**{**usual, **points})


def drawn(make: object, spread: float, count: int, seed: int = 0) -> list[dict[str, MetricResult]]:
    """Oracles whose every figure lies around the usual one with this standard deviation."""
    rng = np.random.default_rng(seed)
    usual = {name: METRICS[name].points(result) for name, result in make().items()}  # type: ignore[operator]
    return [figures(**{n: v + spread * rng.normal() for n, v in usual.items()}) for _ in range(count)]


ORIGINAL = samples(forget_accuracy=99, mia_auc=60, memorisation_left=100, forget_js=30)
ORACLES = drawn(samples, 0.3, 5)
KNOWN = of_class(forget_test_accuracy=90, forget_js=80, prototype_recovery=90, within_class_cosine=90, relearn_5=90)
CLASS_ORACLES = drawn(of_class, 0.3, 5)


def rule(claim: Claim, oracles: list[dict[str, MetricResult]], **settings: float) -> Rule:
    return Rule(claim, oracles, replace(CONFIG, **settings))  # type: ignore[arg-type]


def test_without_an_oracle_nothing_is_concluded() -> None:
    assert judge(ORIGINAL, samples(), rule(SAMPLES, [])).word == "inconclusive"


@pytest.mark.parametrize(
    ("unlearned", "word", "audit"),
    [
        (samples(), "indistinguishable", "accuracy"),
        (ORIGINAL, "under-forgotten", "accuracy"),
        (samples(forget_accuracy=70), "over-forgotten", "accuracy"),
        (samples(test_accuracy=80), "over-forgotten", "accuracy"),
        (samples(test_accuracy=99), "indistinguishable", "accuracy"),  # more useful is no fault
        (samples(mia_auc=60), "under-forgotten", "membership"),
        (samples(mia_auc=40), "over-forgotten", "membership"),
        (samples(memorisation_left=25), "under-forgotten", "membership"),
        (samples(memorisation_left=-25), "over-forgotten", "membership"),
        (samples(forget_js=20), "over-forgotten", "output_distance"),
        (samples(forget_js=0), "indistinguishable", "output_distance"),
    ],
)
def test_each_verdict(unlearned: Figures, word: str, audit: str) -> None:
    verdict = judge(ORIGINAL, unlearned, rule(SAMPLES, ORACLES))
    assert verdict.word == word
    assert verdict.audits[audit].word == word
    assert verdict.judged == 5


def test_a_figure_that_is_not_primary_never_decides() -> None:
    odd = {**samples(), **figures(rebound_accuracy=99, retain_accuracy=1)}
    oracles = [{**o, **figures(rebound_accuracy=50, retain_accuracy=99)} for o in ORACLES]
    assert judge(ORIGINAL, odd, rule(SAMPLES, oracles)).word == "indistinguishable"


def test_without_power_nothing_is_concluded() -> None:
    """Two points off is nothing at a margin of three, and no wider margin gives the audit power."""
    near = samples(mia_auc=52, memorisation_left=2, forget_accuracy=99)
    for margin in (3.0, 0.5):
        verdict = judge(near, samples(), rule(SAMPLES, ORACLES, margin_points=margin))
        assert (verdict.word, verdict.audits["membership"].word) == ("inconclusive", "inconclusive")
        assert "no power" in verdict.reason
    assert judge(near, samples(), rule(SAMPLES, ORACLES)).audits["accuracy"].word == "indistinguishable"


@pytest.mark.parametrize(
    ("confidence", "word"), [(9.0, "under-forgotten"), (5.0, "over-forgotten"), (1.0, "over-forgotten")]
)
def test_a_distance_towards_the_forgotten_label_is_under_forgotten(confidence: float, word: str) -> None:
    def sure(model: dict[str, MetricResult], of: float) -> dict[str, MetricResult]:
        return {**model, **figures(forget_confidence=of)}

    oracles = [sure(oracle, 5 + k / 10) for k, oracle in enumerate(ORACLES)]
    verdict = judge(sure(ORIGINAL, 99), sure(samples(forget_js=20), confidence), rule(SAMPLES, oracles))
    assert (verdict.word, set(verdict.outside)) == (word, {"forget_js"})


def test_the_error_is_shared_by_weights() -> None:
    """Of 8 parts memorisation left has 4: at 5% and K = 5, t(4) at 2.5% and at 0.625%, both sides together."""
    made = rule(SAMPLES, [samples(mia_auc=x, memorisation_left=x) for x in (40, 45, 50, 55, 60)])
    spread = (62.5 * 1.2) ** 0.5
    found = {name: made.band(name, margin=0.0) for name in ("mia_auc", "memorisation_left")}
    quantiles = {"mia_auc": 5.2611, "memorisation_left": 3.4954 * 4 / 5}  # a projection spreads by 4 / 5
    for name, limit in found.items():
        assert limit is not None
        assert limit.tolerance == pytest.approx(quantiles[name] * spread, rel=1e-3)


def test_audits_on_request_change_no_tolerance_and_their_error_is_stated() -> None:
    oracles = [o | figures(image_search_precision=20.0 + i) for i, o in enumerate(drawn(of_class, 1.0, 5))]
    plain = rule(replace(ONE_CLASS, pairs=True), oracles)
    more = replace(plain, claim=replace(plain.claim, more=("image_search",)))
    assert all(plain.band(name) == more.band(name) for name in of_class())
    share = more.claim.error_share("image_search_precision")
    assert plain.error == CONFIG.family_error
    assert more.error == pytest.approx(CONFIG.family_error * (1 + share))
    model = of_class() | figures(image_search_precision=90.0)
    assert not plain.outside(model, "image_search")
    assert set(more.outside(model, "image_search")) == {"image_search_precision"}


def test_damage_is_said_also_where_the_original_passes() -> None:
    assert judge(samples(), samples(test_accuracy=70), rule(SAMPLES, ORACLES)).word == "over-forgotten"


def test_two_oracles_are_no_control() -> None:
    verdict = judge(ORIGINAL, samples(), rule(SAMPLES, ORACLES[:2]))
    assert verdict.word == "inconclusive"
    assert "at least 3 oracles" in verdict.reason


def test_a_fifth_of_the_held_out_oracles_may_fail() -> None:
    odd = [of_class(prototype_recovery=x) for x in (49.9, 50.0, 50.1, 50.0, 75.0)]
    one = judge(KNOWN, of_class(), rule(ONE_CLASS, odd)).audits["representation"]
    assert (one.oracles_passed, one.trusted) == (4, True)


def untrusted(outside: bool) -> Verdict:
    """Oracles held out fail the representation audit; the model's recovery is that of the original, or the oracles'."""
    near = [of_class(prototype_recovery=x) for x in (50.0, 50.1, 49.9, 50.0, 50.05)]
    unlearned = of_class(prototype_recovery=90.0 if outside else 50.0)

    def others(number: int) -> list[dict[str, MetricResult]]:
        return [of_class(prototype_recovery=10.0 + k / 10) for k in range(4)]

    return judge(KNOWN, unlearned, rule(ONE_CLASS, near), others)


@pytest.mark.parametrize("outside", [True, False])
def test_a_silenced_audit_of_the_claim_makes_the_whole_inconclusive(outside: bool) -> None:
    """A model whose logit is masked answers 0% of the class, and its features hold it whole."""
    verdict = untrusted(outside)
    one = verdict.audits["representation"]
    assert (verdict.word, one.word, one.trusted, one.oracles_passed) == ("inconclusive", "inconclusive", False, 0)
    assert (one.outside == pytest.approx({"prototype_recovery": 39.99})) == outside
    assert "held-out oracles fail it" in verdict.reason
    assert verdict.audits["accuracy"].word == "indistinguishable"


def test_a_silenced_audit_beside_the_claim_makes_the_whole_inconclusive_too() -> None:
    """Samples claim membership alone; what their answers look like has a figure outside and is not trusted."""

    def others(number: int) -> list[dict[str, MetricResult]]:
        rest = [oracle for k, oracle in enumerate(ORACLES) if k != number]
        return [{**oracle, **figures(forget_js=0.1 + k / 100)} for k, oracle in enumerate(rest)]

    verdict = judge(ORIGINAL, samples(forget_js=20), rule(SAMPLES, ORACLES), others)
    one = verdict.audits["output_distance"]
    assert (verdict.word, one.word, one.trusted, set(one.outside)) == (
        "inconclusive",
        "inconclusive",
        False,
        {"forget_js"},
    )
    assert "output distance cannot be trusted and has a figure outside" in verdict.reason
    assert verdict.audits["membership"].word == "indistinguishable"


@pytest.mark.parametrize("spread", [1.0, 6.0, 12.0, 18.0, 24.0])
def test_a_masked_logit_never_passes_however_far_oracles_spread(spread: float) -> None:
    """Accuracy 0 and relearning as the oracles', features those of the original: 40 points off in recovery, 50 in
    cosine, whatever the oracles spread by; with three oracles no draw may say indistinguishable."""
    masked = of_class(prototype_recovery=90, within_class_cosine=90)
    for seed in range(40):
        oracles = drawn(of_class, 0.2, 3, seed)
        rng = np.random.default_rng([seed, 9])
        for oracle in oracles:
            for name in ("prototype_recovery", "within_class_cosine"):
                points = METRICS[name].points(oracle[name]) + spread * rng.normal()
                oracle[name] = MetricResult(points / METRICS[name].scale, 500)
        assert judge(KNOWN, masked, rule(ONE_CLASS, oracles)).word != "indistinguishable"


def test_an_audit_of_the_claim_that_was_not_made_leaves_the_verdict_open() -> None:
    def seen(model: dict[str, MetricResult]) -> dict[str, MetricResult]:
        return {n: r for n, r in model.items() if METRICS[n].audit != "relearning"}

    verdict = judge(seen(KNOWN), seen(of_class()), rule(ONE_CLASS, [seen(o) for o in CLASS_ORACLES]))
    assert verdict.word == "inconclusive"
    assert "relearning was not run" in verdict.reason
    assert verdict.judged == 6  # the error is shared as if it had been


@pytest.mark.parametrize("worse", [0, 6])
def test_of_several_classes_each_is_judged_by_itself(worse: int) -> None:
    """Class 0 forgotten and class 6 not, or the other way round: their mean would pass."""
    parts = ("forget_test_accuracy", "prototype_recovery", "within_class_cosine")

    def both(model: dict[str, MetricResult], known: int | None = None) -> dict[str, MetricResult]:
        return {**model, **{f"{n}/{c}": (KNOWN if c == known else model)[n] for n in parts for c in (0, 6)}}

    claim = Claim("class", (0, 6))
    oracles = [both(o) for o in CLASS_ORACLES]
    original = {**both(KNOWN), **{f"{n}/{c}": KNOWN[n] for n in parts for c in (0, 6)}}
    assert judge(original, both(of_class()), rule(claim, oracles)).word == "indistinguishable"
    verdict = judge(original, both(of_class(), worse), rule(claim, oracles))
    assert verdict.word == "under-forgotten"
    assert set(verdict.outside) == {f"{n}/{worse}" for n in parts}
    assert verdict.judged == 9
    assert f"class {worse}" in verdict.reason


@settings(max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 6),
    spread=st.sampled_from([0.1, 1.0, 5.0]),
    left=st.floats(0, 1),
    noise=st.floats(0, 8),
    margins=st.tuples(st.floats(0.01, 3), st.floats(0.01, 3)),
    further=st.sampled_from(["output_distance", "neighbours", "rebound", "membership"]),
)
def test_neither_a_narrower_margin_nor_a_further_audit_makes_a_verdict_milder(
    seed: int,
    count: int,
    spread: float,
    left: float,
    noise: float,
    margins: tuple[float, float],
    further: str,
) -> None:
    rng = np.random.default_rng(seed)
    oracles = drawn(of_class, spread, count, seed)
    unlearned = {
        name: MetricResult(
            result.value + left * (KNOWN[name].value - result.value) + noise * rng.normal() / METRICS[name].scale, 500
        )
        for name, result in of_class().items()
    }

    def word(margin: float, left_out: str = "") -> int:
        def seen(model: dict[str, MetricResult]) -> dict[str, MetricResult]:
            return {n: r for n, r in model.items() if METRICS[n].audit != left_out}

        asked = rule(ONE_CLASS, [seen(o) for o in oracles], margin_points=margin)
        return MILDEST_FIRST.index(judge(seen(KNOWN), seen(unlearned), asked).word)

    wide, narrow = max(margins), min(margins)
    assert word(narrow) >= word(wide)
    assert word(wide) >= word(wide, further)


@pytest.mark.parametrize("margin", [0.0, -1.0, 3.1, float("nan"), float("inf")])
def test_a_margin_that_is_not_positive_or_too_wide_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="margin_points"):
        AuditConfig(margin_points=margin)


@pytest.mark.parametrize("count", [3, 5, 10])
@pytest.mark.parametrize("spread", [0.5, 2.0, 8.0])
def test_an_oracle_fails_as_often_as_stated_however_far_oracles_spread(count: int, spread: float) -> None:
    """Normal figures, 5 primary metrics, one of which (utility) fails on one side only and one (distance) too: in 400
    draws at most 5% plus two standard errors of further oracles are told from the others."""
    told = 0
    for seed in range(400):
        *oracles, further = drawn(samples, spread, count + 1, seed)
        verdict = judge(ORIGINAL, further, rule(SAMPLES, oracles, margin_points=1e-9))
        told += bool(verdict.outside)
    assert told / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5
