"""A finished sweep as files."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from optuna.trial import TrialState

from pipelines.sweep.page import conclusion, study_of, trial_frame, write_page
from tests.unit.pipelines.sweep_files import result, trial


@pytest.mark.parametrize(
    ("base", "winner", "told"),
    [
        # Differences 4 and 2: mean 3, deviation 1.41.
        ([6.0, 5.0], [2.0, 3.0], "The winner has a mean gap to the oracle of 2.50 ± 0.71, the settings of base 5.50 ± "
         "0.71, on 2 runs that the search did not use."),
        # Differences 5 and -3: mean 1, deviation 5.66.
        ([6.0, 2.0], [1.0, 5.0], "The winner has a mean gap to the oracle of 3.00 ± 2.83, the settings of base 4.00 ± "
         "2.83, on 2 runs that the search did not use. The difference is smaller than its spread."),
        ([1.0], [2.0], "The settings of base stay: mean gap to the oracle 1.00, the winner's 2.00, on 1 run that the "
         "search did not use."),
    ],
)  # fmt: skip
def test_the_conclusion_weighs_a_difference_against_its_spread(
    base: list[float], winner: list[float], told: str, tmp_path: Path
) -> None:
    assert conclusion(result(tmp_path, [trial(0)], base, winner)) == told


def test_a_base_that_diverged_is_a_difference(tmp_path: Path) -> None:
    told = conclusion(result(tmp_path, [trial(0)], [float("inf"), 1.0], [2.0, 3.0]))
    assert "the settings of base inf, on 2 runs" in told
    assert "smaller than its spread" not in told


def test_runs_of_one_seed_that_both_diverged_are_equal(tmp_path: Path) -> None:
    told = conclusion(result(tmp_path, [trial(0)], [float("inf"), 1.0, 3.0], [float("inf"), 2.0, 4.0]))
    assert "smaller than its spread" not in told  # differences 0, -1, -1
    told = conclusion(result(tmp_path, [trial(0)], [float("inf"), 1.0], [float("inf"), 2.0]))
    assert "smaller than its spread" in told  # differences 0, -1


def test_trials_are_a_study_of_optuna_with_short_names(tmp_path: Path) -> None:
    trials = [trial(0, objective=2.0), trial(1, "stopped", rate=0.05), trial(2, "failed")]
    study = study_of(result(tmp_path, trials, [1.0], [1.0]))
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert [t.state for t in study.trials] == states
    assert [t.params for t in study.trials] == [{"lr": 0.01}, {"lr": 0.05}, {"lr": 0.01}]
    assert (study.best_value, study.trials[1].intermediate_values) == (2.0, {25: 9.0})


def test_settings_of_the_same_last_word_keep_their_whole_names(tmp_path: Path) -> None:
    space = {
        "stop.rule": {"choice": ["none", "paper"]},
        "method.rule": {"choice": [1]},
        "optimizer.lr": {"choice": [1]},
    }
    one = result(tmp_path, [trial(0, objective=1.0)], [1.0], [1.0])
    other = type(one.sweep)(one.sweep.config, one.sweep.base, space)
    drawn = type(one.trials[0])(0, {"stop.rule": "none", "method.rule": 1, "optimizer.lr": 1}, "finished",
                                {"objective": 1.0}, "", [], (0.0, 1.0))  # fmt: skip
    params = study_of(type(one)(other, "s", [drawn], drawn, [drawn], one.again, "gap", tmp_path)).trials[0].params
    assert set(params) == {"stop.rule", "method.rule", "lr"}


def test_a_table_has_a_row_per_trial() -> None:
    frame = trial_frame([trial(0, objective=2.0), trial(1, "failed", reason="loss is nan")])
    assert list(frame) == ["trial", "state", "reason", "begin", "end", "optimizer.lr", "objective"]
    assert frame["end"].tolist() == [101.5, 101.5]
    assert frame["objective"].isna().tolist() == [False, True]


def test_the_files_hold_every_trial_and_the_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["cu", "sweep", "a.yaml", "--resume", "s"])
    trials = [trial(0, objective=2.0, rate=0.0123456), trial(1, "failed", reason="loss < 0"), trial(2, objective=3.0)]
    write_page(result(tmp_path, trials, [6.0, 5.0], [2.0, 3.0]))
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["state"], row["optimizer.lr"]) for row in rows] == [
        ("0", "finished", "0.0123456"), ("1", "failed", "0.01"), ("2", "finished", "0.01"),
    ]  # fmt: skip
    page = (tmp_path / "report.html").read_text()
    for told in ("optimizer.lr=0.01235", "cu sweep a.yaml --name s", "2.50 ± 0.71", "loss &lt; 0"):
        assert told in page
    assert page.count("<svg") == 3  # two trials are too few for importances
