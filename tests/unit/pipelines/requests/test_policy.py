from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.requests.policy import Policy, policy_from, read_policy


def test_a_retrained_model_is_due_when_a_bound_is_reached(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "batches: 3\nrows_frac: 0.1\nverdicts: [under-forgotten]\nmetrics: {oracle_gap: 2.5}\n"
    )
    policy = read_policy(tmp_path / "p.yaml")
    assert policy.due(2, 0.05, "inconclusive", {"oracle_gap": -2.5}) == []
    assert policy.due(3, 0.1, "under-forgotten", {"oracle_gap": -2.6}) == [
        "3 batches were answered (bound 3)",
        "10.00% of the training rows are forgotten (bound 10%)",
        "the last verdict is under-forgotten",
        "oracle_gap is -2.60 (bound 2.5)",
    ]
    assert policy_from(policy.written(), "ledger") == policy


def test_without_a_policy_it_is_never_due() -> None:
    assert read_policy(None) == Policy()
    assert Policy().due(1000, 0.9, "under-forgotten", {"oracle_gap": 99.0}) == []


def test_a_figure_that_was_not_measured_is_named() -> None:
    with pytest.raises(ConfigError, match=r"metrics\.gap: the last audit has no such figure; it has 'oracle_gap'"):
        Policy(metrics={"gap": 1.0}).due(1, 0.1, None, {"oracle_gap": 1.0})


@pytest.mark.parametrize("text", ["batches: 0", "rows_frac: 2", "batchs: 3", "metrics: {a: .nan}", "verdicts: 3"])
def test_what_is_no_policy_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"p\.yaml: "):
        read_policy(tmp_path / "p.yaml")
