"""A trial: what it reports, and what of it is found again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cu_core.config_io import config_from
from cu_core.errors import NonFiniteError
from cu_core.run import Hooks
from cu_core.types import StepReport
from pipelines.grid.cells import Failure
from pipelines.sweep import trial
from pipelines.sweep.space import Sweep, read_sweep
from pipelines.sweep.trial import audit_trial, run_trial, trial_cell
from tests.unit.pipelines.reports import report
from tests.unit.pipelines.sweep_files import write

DRAWN = {"optimizer.lr": 0.0123456, "method.terms": "pull"}
CHECK = {"stop_forget": 0.3, "stop_target": 0.1, "stop_utility": 0.9, "loss": 1.0}
"""20 points of forgetting and 10 of accuracy are missing: 15 on average."""


@pytest.fixture
def sweep(digits: Path, tmp_path: Path) -> Sweep:
    small = {"data": {"path": str(digits)}, "storage": str(tmp_path / "out"), "model": {"name": "resnet10", "width": 4}}
    return read_sweep(write(tmp_path, set={**small, "stop": {"max_steps": 40}}))


def test_a_trial_is_named_by_its_settings(sweep: Sweep) -> None:
    cell = trial_cell(sweep, DRAWN)
    assert cell.label == "lr=0.01235 terms=pull"
    assert cell.plan.config.optimizer.lr == 0.0123456


def test_checks_are_reported_and_a_trial_that_runs_again_only_audits(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, float]] = []
    runs: list[Path] = []

    def run_unlearn(workspace: Any, original: Path, out: Path, hooks: Hooks) -> None:
        runs.append(out)
        for step in (1, 10, 20, 21):
            hooks.on_step(StepReport(step, 40, CHECK if step % 10 == 0 else {"loss": 1.0}))
        out.mkdir(parents=True)
        (out / "meta.json").write_text("{}")

    monkeypatch.setattr(trial, "run_unlearn", run_unlearn)
    monkeypatch.setattr(trial, "use_cpus", lambda count: None)
    monkeypatch.setattr(trial, "audit_trial", lambda cell, objective: {"objective": 2.0, "finished": 1.0})
    monkeypatch.setattr(trial.tune, "report", told.append)
    run_trial(DRAWN, sweep)
    assert [(one["share"], one["early"], one["objective"]) for one in told] == [
        (25, pytest.approx(15.0), pytest.approx(15.0)), (50, pytest.approx(15.0), pytest.approx(15.0)),
        (100, pytest.approx(15.0), 2.0),
    ]  # fmt: skip
    assert [one.get("finished") for one in told] == [None, None, 1.0]
    first, told[:] = told[-1], []
    run_trial(DRAWN, sweep)
    assert (len(runs), told) == (1, [first])


def test_an_audit_that_is_there_is_not_made_again_and_a_failure_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    made = report(config_from({}), gap=4.5)
    plan = SimpleNamespace(config=config_from({}), workspace=None, original=SimpleNamespace(folder=Path("o")))
    cell: Any = SimpleNamespace(plan=plan, folder=Path("cell"), outcome=made)
    parts = {"forget_accuracy": 1.0, "utility": 3.0}
    monkeypatch.setattr(trial, "run_proxy", lambda *given: parts)
    monkeypatch.setattr(trial, "audit_here", lambda *given: pytest.fail("audited again"))
    monkeypatch.setattr(trial, "judge", lambda found, given, objective: {objective: found.gap.mean + len(given)})
    assert audit_trial(cell, "gap") == {"gap": 6.5}
    cell.outcome = Failure("loss is nan")
    with pytest.raises(NonFiniteError, match="loss is nan"):
        audit_trial(cell, "gap")
