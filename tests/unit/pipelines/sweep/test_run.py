"""A sweep from its trials to its winner."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cu_core.config_io import config_from, load_config
from cu_core.errors import ConfigError
from pipelines.grid.cells import Failure
from pipelines.sweep import run
from pipelines.sweep.run import _check_folder, _finish, _record, _reported
from pipelines.sweep.space import Sweep, read_sweep
from tests.unit.pipelines.reports import report
from tests.unit.pipelines.sweep_files import trial, write


@pytest.fixture
def sweep(digits: Path, tmp_path: Path) -> Sweep:
    small = {"data": {"path": str(digits)}, "storage": str(tmp_path / "out"), "model": {"name": "resnet10", "width": 4},
             "request": {"kind": "by_class", "classes": [5]}}  # fmt: skip
    return read_sweep(write(tmp_path, set=small, reported={"seeds": [0, 1]}))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figure of a cell is its learning rate, and nothing is run."""
    monkeypatch.setattr(run, "run_cells", lambda cells: [])
    monkeypatch.setattr(run, "_reported", lambda cell: cell.plan.config.optimizer.lr)
    monkeypatch.setattr(run.ray, "get", list)


@pytest.mark.usefixtures("figures")
def test_the_lowest_objective_of_finished_trials_wins_and_runs_beside_base(sweep: Sweep, tmp_path: Path) -> None:
    base = sweep.reported_configs({})[0].optimizer.lr
    trials = [
        trial(0, objective=3.0, rate=0.03),
        trial(1, objective=2.0, rate=0.02),
        trial(2, "stopped", objective=1.0),
    ]
    swept, cell = _finish(sweep, "s", trials, tmp_path)
    assert (swept.winner.number, [t.number for t in swept.front], swept.figure) == (1, [1], "gap")
    assert swept.again == {"base": [base, base], "winner": [0.02, 0.02]}
    assert (cell.label, cell.plan.config.seed) == ("winner seed 0", 0)
    assert (tmp_path / "winner.yaml").read_text().startswith(f"# cu unlearn {tmp_path / 'winner.yaml'}\n")
    assert load_config(tmp_path / "winner.yaml").optimizer.lr == 0.02


@pytest.mark.usefixtures("figures")
def test_of_a_front_the_recommended_trial_wins(sweep: Sweep, tmp_path: Path) -> None:
    points = [(0.0, 9.0, 9.0), (1.0, 1.0, 1.0), (9.0, 0.0, 0.0), (9.0, 9.0, 9.0)]  # the last is beaten
    trials = [trial(n, forgetting=f, utility=u, cost=c) for n, (f, u, c) in enumerate(points)]
    pareto = replace(sweep, config=replace(sweep.config, objective="pareto", scheduler="none"))
    swept, _ = _finish(pareto, "s", [trial(9, "failed"), *trials], tmp_path)
    assert (swept.winner.number, [t.number for t in swept.front]) == (1, [0, 1, 2])


def test_without_a_finished_trial_the_reasons_are_told_once(sweep: Sweep, tmp_path: Path) -> None:
    reasons = ("loss is nan", "at 25% of its steps", "loss is nan")
    trials = [trial(number, "failed", reason=reason) for number, reason in enumerate(reasons)]
    with pytest.raises(ConfigError, match="^no trial finished: loss is nan; at 25% of its steps$"):
        _finish(sweep, "s", trials, tmp_path)


def test_trials_that_did_not_finish_are_recorded_with_their_end(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    class Recorder(list[Any]):
        def __call__(self, cell: Any) -> None:
            self.append(cell)

        def add(self, *given: Any) -> None:
            self.append(given)

    recorder = Recorder()
    monkeypatch.setattr(run, "trial_cell", lambda sweep, drawn: drawn["optimizer.lr"])
    trials = [
        trial(0, rate=0.1),
        trial(1, "stopped", rate=0.2, reason="at 25%"),
        trial(2, "failed", rate=0.3, reason="x"),
    ]
    _record(recorder, sweep, trials)  # type: ignore[arg-type]
    stopped, failed = (0.2, Failure("stopped: at 25%"), "KILLED"), (0.3, Failure("failed: x"), "FAILED")
    assert recorder == [0.1, stopped, failed]


def test_a_run_that_diverged_is_infinitely_far_and_without_oracles_the_proxy_is_asked(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def options(**given: Any) -> Any:
        asked.append(given)
        return SimpleNamespace(remote=lambda cell: "proxy")

    monkeypatch.setattr(run.ray, "put", lambda value: value)
    monkeypatch.setattr(run, "_proxy_task", SimpleNamespace(options=options))
    config = config_from({})
    made = report(config, gap=4.5)
    outcomes = (Failure("loss is nan"), made, replace(made, gap=None))
    cells: list[Any] = [SimpleNamespace(outcome=one, plan=SimpleNamespace(config=config)) for one in outcomes]
    assert [_reported(cell) for cell in cells] == [math.inf, 4.5, "proxy"]
    assert len(asked) == 1


def test_a_name_is_new_or_of_the_sweep_that_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "sweeps" / "s"
    _check_folder(folder, "digest", resume=False)
    with pytest.raises(ConfigError, match=r"^--resume s: no such sweep in .*; sweeps there: none\.$"):
        _check_folder(folder, "digest", resume=True)
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps({"digest": "digest"}))
    with pytest.raises(ConfigError, match="a sweep 's' exists; --resume s goes on with it"):
        _check_folder(folder, "digest", resume=False)
    _check_folder(folder, "digest", resume=True)
    with pytest.raises(ConfigError, match="--resume s: that sweep has other settings"):
        _check_folder(folder, "other", resume=True)
    with pytest.raises(ConfigError, match="--resume t: .*sweeps there: s"):
        _check_folder(folder.with_name("t"), "digest", resume=True)
