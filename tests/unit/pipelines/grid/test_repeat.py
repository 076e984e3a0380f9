"""Cells of varied settings, and their table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cu_core.audit.report import AuditReport
from cu_core.config import RunConfig
from cu_core.config_io import config_from, dump_config
from cu_core.errors import ConfigError, UserError
from pipelines.grid import repeat
from pipelines.grid.cells import Cell, Failure
from pipelines.grid.repeat import expand, markdown, run_repeat, stop_words
from pipelines.run.plan import make_plan
from tests.unit.pipelines.reports import report


@pytest.fixture
def file(class_config: RunConfig, tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(dump_config(class_config))
    return path


def test_a_cell_is_made_of_every_combination_and_keys_may_vary_together(file: Path) -> None:
    cells = expand(file, ["method.lambda_ce=2"], ["seed=0|1", "optimizer.lr,train.optimizer.lr=0.1|0.2"])
    configs = [cell.plan.config for cell in cells]
    assert [(c.seed, c.optimizer.lr, c.train.optimizer.lr) for c in configs] == [
        (0, 0.1, 0.1), (0, 0.2, 0.2), (1, 0.1, 0.1), (1, 0.2, 0.2),
    ]  # fmt: skip
    assert {c.method.lambda_ce for c in configs} == {2.0}  # type: ignore[union-attr]
    assert cells[1].label == "seed=0 optimizer.lr=0.2 train.optimizer.lr=0.2"
    assert [cell.label for cell in expand(file, [], [])] == ["one run"]


@pytest.mark.parametrize("text", ["seed", "seed=", "", "seed 0|1"])
def test_a_setting_without_values_is_refused(text: str, file: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--vary '.*' must have the form KEY=V1\|V2"):
        expand(file, [], [text])


def with_row(unlearned: float, oracles: tuple[float, ...], gap: float) -> AuditReport:
    one = report(config_from({}), gap=gap)
    difference = unlearned - sum(oracles) / len(oracles) if oracles else None
    row = replace(one.rows[0], original=90.0, unlearned=unlearned, oracles=oracles, difference=difference)
    return replace(one, rows=(row,))


def test_a_table_has_means_and_deviations_over_the_cells() -> None:
    # Differences to the own oracle: 10 - 5 and 4 - 7, so one above and one below; mean 1, deviation sqrt(32).
    lines = markdown([with_row(10.0, (4.0, 6.0), 1.0), with_row(4.0, (7.0,), 2.0)]).splitlines()
    row = "| forget_accuracy | 90.0 ± 0.0 | 7.0 ± 4.2 | 6.0 ± 1.4 | 1.0 ± 5.7 | 1 / 1 |"
    assert lines[2] == row
    assert lines[3] == "| **mean gap** | 40.00 ± 0.00 | 1.50 ± 0.71 | 0 |  |  |"
    assert lines[4] == "| training rows read |  | 30 ± 0 (10.0 ± 0.0% of retraining) | 500 ± 0 |  |  |"
    assert lines[5] == "| rows through frozen models |  | 7 ± 0 |  |  |  |"
    assert lines[6] == "| stop-check rows read |  | 5 ± 0 |  |  |  |"


def test_a_table_without_oracles_has_no_gap() -> None:
    one = replace(with_row(10.0, (), 1.0), gap=None, doing_nothing_gap=None)
    text = markdown([replace(one, cost={**one.cost, "frozen_rows": 0, "prepare_rows": 0}, leaks=3)])
    assert "| forget_accuracy | 90.0 | 10.0 | none | none | 0 / 0 |" in text
    assert "mean gap" not in text
    assert "frozen" not in text
    below = text.splitlines()[-1]
    assert below.startswith("The stop rule fired in 1 of 1 run.")
    assert below.endswith("was kept in 0. Forget rows in the retain stream: 3.")


@pytest.mark.parametrize(
    ("stop", "told"),
    [
        ({"fired_at": 0, "kept_step": 0}, "stop rule fired at step 0"),
        ({"fired_at": 8}, "stop rule fired at step 8, no state could be kept"),
        ({"kept_step": 8}, "the stop rule never fired"),
        ({}, "the stop rule never fired, no state could be kept"),
    ],
)
def test_the_decision_of_the_stop_rule_is_described(stop: dict[str, int], told: str, class_config: RunConfig) -> None:
    made = replace(report(class_config), stop=stop)
    assert stop_words(Cell("", make_plan(class_config)), made) == told
    without = replace(class_config, stop=replace(class_config.stop, rule="none"))
    assert stop_words(Cell("", make_plan(without)), made) == "no stop rule"


def test_a_run_that_diverged_is_named_and_no_table_is_written(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = report(config_from({}))
    out = tmp_path / "table.md"
    monkeypatch.setattr(repeat, "run_cells", lambda cells: [made, Failure("loss is nan")])
    with pytest.raises(UserError, match=r"^1 of 2 runs cannot be finished; seed=1: loss is nan$"):
        run_repeat(file, [], ["seed=0|1"], out)
    assert not out.exists()
    monkeypatch.setattr(repeat, "run_cells", lambda cells: [made, made])
    run_repeat(file, [], ["seed=0|1"], out)
    assert "- seed=1: gap 1.00, over-forgotten, stop rule fired at step 8" in out.read_text().splitlines()
    assert out.read_text() in capsys.readouterr().out
