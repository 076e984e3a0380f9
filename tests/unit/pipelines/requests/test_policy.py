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
        "batches answered: 3 (bound 3)",
        "10.00% of the training rows are forgotten (bound 10%)",
        "the last verdict is under-forgotten",
        "oracle_gap is -2.60 (bound 2.5)",
    ]
    assert policy_from(policy.written(), "ledger") == policy


def test_without_a_policy_it_is_never_due() -> None:
    assert read_policy(None) == Policy()
    assert Policy().due(1000, 0.9, "under-forgotten", {"oracle_gap": 99.0}) == []


def test_a_figure_that_was_not_measured_decides_nothing_and_is_told() -> None:
    policy = Policy(metrics={"oracle_gap": 1.0, "proxy": 1.0})
    assert policy.due(1, 0.1, None, {"proxy": 2.0}) == ["proxy is 2.00 (bound 1)"]
    assert policy.absent({"proxy": 2.0}) == [
        "metrics.oracle_gap decides nothing: the last audit has no such figure; it has 'proxy'"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batches: 0", "batches: Input should be greater than or equal to 1"),
        ("rows_frac: 2", "rows_frac: "),
        ("batchez: 3", "batchez: unknown key; did you mean batches?"),
        ("metrics: {a: .nan}", "metrics.a: "),
        ("metrics: {oracle_gapp: 3}", "metrics: no audit has a figure 'oracle_gapp'; did you mean oracle_gap."),
        ("metrics: {audit/test_acuracy: 3}", "did you mean audit/test_accuracy."),
        ("metrics: {audit/test_accuracy/5: 3}", "no audit has a figure 'audit/test_accuracy/5'"),
        ("verdicts: 3", "verdicts: must be a list in brackets"),
        ("verdicts: [over-forgoten]", "did you mean over-forgotten?"),
        ("verdicts: [bad]", "got 'bad'"),
        ("", "holds no bound; give batches, rows_frac, verdicts or metrics"),
        ("verdicts: []", "holds no bound"),
    ],
)
def test_what_is_no_policy_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"p\.yaml: ") as raised:
        read_policy(tmp_path / "p.yaml")
    assert said in str(raised.value)


def test_figures_that_audits_have_are_taken(tmp_path: Path) -> None:
    names = ["oracle_gap", "proxy/rebound", "leaks", "gap/mia_auc", "audit/oracle/test_accuracy"]
    names.append("audit/forget_test_accuracy/5")
    (tmp_path / "p.yaml").write_text("metrics: {" + ", ".join(f"{name}: 1" for name in names) + "}")
    assert list(read_policy(tmp_path / "p.yaml").metrics) == names


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"--retrain-when: no file .*no\.yaml; docs/guides/requests-over-time\.md shows"
    ):
        read_policy(tmp_path / "no.yaml")
