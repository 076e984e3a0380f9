from __future__ import annotations

import pytest

from cu_core.audit.explain import EXPLANATIONS, explain
from cu_core.audit.explain_strong import STRONG
from cu_core.errors import UserError


def test_a_metric_has_six_lines() -> None:
    told = EXPLANATIONS["mia_auc"]
    assert explain("mia_auc").splitlines() == [
        "mia_auc: MIA AUC, loss (x100)",
        f"  definition  {told.definition}",
        f"  formula     {told.formula}",
        f"  source      {told.source}",
        f"  pitfalls    {told.pitfalls}",
        "  verdict     above the oracle: under-forgotten; below: over-forgotten (sample requests)",
        "  requests    class, sample; audit membership",
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("knn_accuracy", "  verdict     not judged"),
        ("test_accuracy", "outside the tolerance in either direction: over-forgotten (class and sample requests)"),
        ("hub_rate", "  verdict     above the oracle: over-forgotten (class requests)"),
        ("forget_js", "above the distance of the oracles to one another: over-forgotten (class and sample requests)"),
        ("memorisation_left", "  requests    sample; audit membership"),
        ("retain_t2i_r5", "Fraction of distinct captions with a match among the 5 nearest; all other test rows"),
        ("forget_i2t_r10", "Fraction of images with a match among the 10 nearest; unseen rows of the class"),
    ],
)
def test_what_is_said_of_each_kind(name: str, line: str) -> None:
    assert line in explain(name)


def test_a_figure_of_the_strong_audit_is_said_to_be_one() -> None:
    lines = explain("klom_forget").splitlines()
    assert lines[0] == "klom_forget: a figure of cu audit-strong"
    assert lines[1] == f"  definition  {STRONG['klom_forget'].definition}"
    assert len(lines) == 5


def test_no_name_stands_in_both_lists() -> None:
    assert not set(EXPLANATIONS) & set(STRONG)


@pytest.mark.parametrize(("name", "near"), [("forget_acuracy", "forget_accuracy"), ("klom_forgot", "klom_forget")])
def test_a_misspelt_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UserError, match=f"^no metric '{name}'; did you mean {near}\\?$"):
        explain(name)


def test_another_name_is_answered_with_all() -> None:
    with pytest.raises(UserError, match="no metric 'zzz'; metrics: forget_accuracy, .*, challenge_score\\.$"):
        explain("zzz")
