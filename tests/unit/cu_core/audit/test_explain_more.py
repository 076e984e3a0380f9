from __future__ import annotations

from cu_core.audit.explain import explain
from cu_core.audit.explain_more import MORE
from cu_core.audit.more_audits import MORE_METRICS


def test_each_metric_of_these_audits_is_explained_and_no_other() -> None:
    assert set(MORE) == set(MORE_METRICS)


def test_it_is_said_which_are_judged() -> None:
    assert "above the oracle: under-forgotten" in explain("prompt_search_precision")
    assert "above the oracle: over-forgotten (class and sample requests)" in explain("caption_occurrence_max")
    assert "not judged" in explain("composition_forgotten_found")
