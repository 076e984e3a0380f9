from __future__ import annotations

from cu_core.audit.explain import explain
from cu_core.audit.explain_search import SEARCH
from cu_core.audit.table import METRICS


def test_each_metric_of_the_three_audits_is_explained_and_no_other() -> None:
    audits = ("wordings", "languages", "unseen_style")
    assert set(SEARCH) == {name for name, metric in METRICS.items() if metric.audit in audits}


def test_the_judged_metrics_say_that_they_are() -> None:
    for name in ("wording_best", "language_precision", "unseen_style_accuracy"):
        assert "above the oracle: under-forgotten" in explain(name)
