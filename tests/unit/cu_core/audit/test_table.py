"""What is made and judged for which request."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cu_core.audit import table
from cu_core.audit.answers import Answers
from cu_core.audit.subject import AuditConfig, Findings
from cu_core.audit.table import AUDITS, METRICS, Claim, audit_against, audit_alone, audits_of, metrics_of, parts_of
from cu_core.audit.table_rows import Audit
from cu_core.types import MetricResult

ALL = AuditConfig()
FEW = AuditConfig(audits=("membership", "accuracy", "representation"))


def test_a_metric_of_one_class_is_that_of_all_beside_the_gap() -> None:
    whole, part = METRICS["forget_test_accuracy"], METRICS["forget_test_accuracy/3"]
    assert part.title == "forgotten class, test (%), class 3"
    assert (whole.in_gap, part.in_gap, whole.by_class, part.by_class) == (True, False, True, False)
    assert (part.audit, part.side, part.judged, part.scale) == (whole.audit, whole.side, whole.judged, whole.scale)


@pytest.mark.parametrize("name", ["nothing", "nothing/3", "forget_accuracy/3", "forget_test_accuracy/"])
def test_names_that_are_no_metric(name: str) -> None:
    with pytest.raises(KeyError):
        METRICS[name]


def test_audits_are_those_of_the_kind_in_the_order_of_the_table() -> None:
    every = ["accuracy", "membership", "output_distance", "neighbours", "representation"]
    pairs = ["retrieval", "wordings", "languages", "unseen_style"]
    assert list(audits_of("class", ALL)) == [*every, "relearning", "rebound", "noise", "views", *pairs]
    assert list(audits_of("sample", ALL)) == [*every[:3], "relearning", "rebound", "noise", "views", *pairs]
    further = AuditConfig(more_audits=("image_search", "near_concepts"), audits=FEW.audits)
    assert list(audits_of("class", further)) == [*audits_of("class", FEW), "near_concepts", "image_search"]
    assert list(audits_of("sample", further)) == [*audits_of("sample", FEW), "image_search"]
    assert list(audits_of("class", FEW)) == ["accuracy", "membership", "representation"]
    assert list(audits_of("sample", FEW)) == ["accuracy", "membership"]


def test_metrics_are_those_of_the_audits_and_of_the_kind() -> None:
    of_class, of_sample = metrics_of("class", FEW), metrics_of("sample", FEW)
    assert {m.audit for m in of_class.values()} == {"accuracy", "membership", "representation"}
    assert set(of_class) - set(of_sample) >= {"forget_test_accuracy", "probe_accuracy"}
    assert set(of_sample) - set(of_class) == {"memorisation_left"}
    assert list(of_class) == [name for name in METRICS if name in of_class]


def test_parts_follow_their_metric_where_there_are_several_classes() -> None:
    assert parts_of("prototype_recovery", (4, 7)) == ["prototype_recovery/4", "prototype_recovery/7"]
    assert parts_of("prototype_recovery", (4,)) == parts_of("test_accuracy", (4, 7)) == []
    names = list(metrics_of("class", ALL, (4, 7)))
    place = names.index("forget_test_accuracy")
    assert names[place + 1 : place + 3] == ["forget_test_accuracy/4", "forget_test_accuracy/7"]
    assert list(metrics_of("class", ALL, (4,))) == list(metrics_of("class", ALL))


OF_CLASS = ("prototype_recovery", "within_class_cosine")
OF_SEARCH = ("wording_best", "language_precision", "unseen_style_accuracy")
OF_PAIRS = ("forget_i2t_r1", "forget_t2i_precision", "retain_i2t_r1", "retain_t2i_precision")


@pytest.mark.parametrize(
    ("claim", "judged", "audits"),
    [
        (
            Claim("class", (5,)),
            ("forget_test_accuracy", "test_accuracy", "forget_js", *OF_CLASS, "relearn_5"),
            ("accuracy", "representation", "relearning"),
        ),
        (
            Claim("class", (5, 2)),
            (
                *("forget_test_accuracy/5", "forget_test_accuracy/2", "test_accuracy", "forget_js"),
                *(f"{name}/{c}" for name in OF_CLASS for c in (5, 2)),
                "relearn_5",
            ),
            ("accuracy", "representation", "relearning"),
        ),
        (
            Claim("class", (5,), pairs=True),
            (
                "forget_test_accuracy",
                "test_accuracy",
                "forget_js",
                *OF_CLASS,
                "relearn_5",
                *OF_PAIRS,
                "hub_rate",
                *OF_SEARCH,
            ),
            ("accuracy", "representation", "relearning"),
        ),
        (
            Claim("sample"),
            ("forget_accuracy", "test_accuracy", "mia_auc", "memorisation_left", "forget_js"),
            ("membership",),
        ),
        (Claim("sample", pairs=True, labelled=False), (*OF_PAIRS, "mia_cosine_auc", *OF_SEARCH[:2]), ("retrieval",)),
    ],
    ids=["class", "two classes", "class of pairs", "samples", "pairs without classes"],
)
def test_what_a_verdict_judges(claim: Claim, judged: tuple[str, ...], audits: tuple[str, ...]) -> None:
    assert claim.judged == judged
    assert claim.audits == audits


def test_audits_on_request_are_judged_if_named_and_leave_the_tolerance_of_others_as_it_is() -> None:
    """They share a second error, all of them: it does not matter which were named."""
    usual = Claim("class", (5,), pairs=True)
    one = replace(usual, more=("image_search",))
    both = replace(usual, more=("image_search", "hubness"))
    assert one.judged == (*usual.judged, "image_search_precision")
    assert set(both.judged) - set(one.judged) == {"caption_occurrence_max", "image_occurrence_max"}
    for name in both.judged:
        assert usual.error_share(name) == both.error_share(name)
    assert sum(usual.error_share(name) for name in usual.judged) == pytest.approx(1)
    every = replace(usual, more=tuple(n for n, a in AUDITS.items() if a.on_request))
    assert sum(every.error_share(name) for name in every.judged) == pytest.approx(2)


def result(value: float) -> MetricResult:
    return MetricResult(value, 1)


def subject(kind: str, classes: int) -> Any:
    reader = SimpleNamespace(manifest=SimpleNamespace(num_classes=classes))
    return SimpleNamespace(config=ALL, split=SimpleNamespace(forget=SimpleNamespace(kind=kind), reader=reader))


@pytest.mark.parametrize(
    ("kind", "classes", "made"), [("class", 2, "abc"), ("sample", 2, "ac"), ("class", 1, "c"), ("sample", 1, "c")]
)
def test_audits_of_a_model_alone(kind: str, classes: int, made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(name: str) -> Any:
        return lambda subject: Findings({name: result(1)}, {f"curve {name}": [2.0]})

    audits = {
        "accuracy": Audit("", "", alone("a")),
        "representation": Audit("", "", alone("b"), kinds=("class",)),
        "relearning": Audit("", "", alone("c"), needs_classes=False),
        "output_distance": Audit("", "", against=lambda answers, others: pytest.fail("not of one model alone")),
    }
    monkeypatch.setattr(table, "AUDITS", audits)
    found = audit_alone(subject(kind, classes))
    assert found.metrics == {name: result(1) for name in made}
    assert found.curves == {f"curve {name}": [2.0] for name in made}


def answers(classes: int, rows: int = 1) -> Answers:
    return Answers(*(np.ones((rows, classes)) if n != 1 else np.zeros(rows, np.int64) for n in range(4)))  # type: ignore[arg-type]


def test_audits_against_oracles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets the oracles, and one the original; figures of the other kind of request are left out."""
    here, oracles, original = answers(2), [answers(2), answers(2)], answers(2, rows=3)

    def against(model: Any, others: Any) -> dict[str, MetricResult]:
        assert (model is here, others is oracles) == (True, True)
        return {"forget_js": result(1), "own_share": result(2), "memorisation_left": result(3)}

    def between(model: Any, others: Any, first: Any) -> dict[str, MetricResult]:
        assert first is original
        return {"forget_tv": result(4)}

    audits = {"output_distance": Audit("", "", against=against), "membership": Audit("", "", between=between)}
    monkeypatch.setattr(table, "AUDITS", audits)
    assert audit_against("class", ALL, here, oracles, original) == {
        "forget_js": result(1), "own_share": result(2), "forget_tv": result(4)
    }  # fmt: skip
    assert audit_against("sample", ALL, here, oracles, original) == {
        "forget_js": result(1), "memorisation_left": result(3), "forget_tv": result(4)
    }  # fmt: skip
    assert audit_against("sample", ALL, answers(1), oracles, original) == {}
