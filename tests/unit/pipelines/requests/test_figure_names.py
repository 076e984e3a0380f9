from __future__ import annotations

import pytest

from pipelines.requests.figure_names import hint, is_figure


@pytest.mark.parametrize("name", ["oracle_gap", "proxy/utility", "audit/test_accuracy", "gap/mia_auc"])
def test_a_figure_of_audits_is_known(name: str) -> None:
    assert is_figure(name)


@pytest.mark.parametrize(("name", "meant"), [("oracle_gapp", "did you mean oracle_gap"), ("zzz", "e.g. oracle_gap")])
def test_another_is_not_and_what_may_have_been_meant_is_told(name: str, meant: str) -> None:
    assert not is_figure(name)
    assert hint(name).startswith(meant)
