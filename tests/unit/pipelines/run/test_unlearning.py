"""The unlearning of a run: what happens at a step and at a checkpoint, and where it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cu_core.checkpoint import TrainState, load_state
from cu_core.config import RunConfig
from cu_core.run import Hooks
from cu_core.types import StepReport
from pipelines.run import handed_over, unlearning
from pipelines.run.folder import RunFolder
from pipelines.run.plan import Plan, make_plan
from pipelines.run.unlearning import WorkerJob, unlearn, unlearn_here
from tests.conftest import small

STATE = TrainState(7, {"w": torch.zeros(2)}, {}, {}, torch.zeros(1))


class Recorded:
    """Curves and preemption signal in one, which keep the order of what happens."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.is_asked = False

    def __call__(self, report: StepReport) -> None:
        self.events.append(("curve", report.step, dict(report.values)))

    def flush(self) -> None:
        self.events.append("flush")

    def asked(self) -> bool:
        return self.is_asked

    def saved(self) -> None:
        self.events.append("saved")

    def taken(self) -> None:
        self.events.append("taken")


@pytest.fixture
def plan(class_config: RunConfig) -> Plan:
    return make_plan(class_config)


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Hooks]:
    """The hooks of the last unlearning, which is not run."""
    given: list[Any] = []
    monkeypatch.setattr(unlearning, "run_unlearn", lambda *parts: given.append(parts))
    monkeypatch.setattr(unlearning, "StepMetrics", lambda name: lambda report: None)
    return lambda: given[-1][-1]


def test_in_one_process_points_are_written_before_the_checkpoint_that_counts_on_them(
    plan: Plan, hooks: Callable[[], Hooks], tmp_path: Path
) -> None:
    recorded, folder, steps = Recorded(), RunFolder(tmp_path), []
    unlearn_here(plan, folder, lambda report: steps.append(report.step), recorded, recorded)  # type: ignore[arg-type]
    assert recorded.events == ["flush"]
    made = hooks()
    made.on_step(StepReport(2, 9, {"loss": 1.0}))
    assert (steps, recorded.events[1:]) == ([2], [("curve", 2, {"loss": 1.0})])
    del recorded.events[:]
    recorded.flush = lambda: recorded.events.append(f"{len([*tmp_path.rglob('meta.json')])} there")  # type: ignore[method-assign]
    made.save(STATE)
    assert recorded.events == ["0 there", "taken"]
    found = made.latest()
    assert found is not None
    assert found.step == 7
    assert folder.notes == ["goes on after step 7"]
    recorded.is_asked = True
    assert made.wants_checkpoint()


@pytest.mark.parametrize("asked", [False, True])
def test_the_first_worker_hands_its_state_to_ray(
    asked: bool, plan: Plan, hooks: Callable[[], Hooks], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, told = Recorded(), []
    recorded.is_asked = asked
    monkeypatch.setattr(unlearning, "LocalSignal", lambda: recorded)

    def report(metrics: dict[str, float], folder: Path | None) -> None:
        assert folder is not None
        told.append((metrics, load_state(folder, plan.digest).step, list(recorded.events)))

    WorkerJob(plan, RunFolder(tmp_path), recorded, None)(torch.device("cpu"), None, report, None)
    del recorded.events[:]
    hooks().save(STATE)
    assert told == [({"step": 7, "asked": float(asked)}, 7, ["flush"])]
    assert recorded.events == ["flush", *(["saved"] if asked else [])]
    assert hooks().wants_checkpoint() is asked
    assert hooks().latest() is None


def test_other_workers_report_without_a_state(
    plan: Plan, hooks: Callable[[], Hooks], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (unlearning, handed_over):
        monkeypatch.setattr(module, "rank", lambda: 1)
    recorded, told = Recorded(), []
    job = WorkerJob(plan, RunFolder(tmp_path), recorded, None, look=lambda step: {"early": 1.0})
    job(torch.device("cpu"), None, lambda *given: told.append(given), None)
    hooks().save(STATE)
    hooks().on_step(StepReport(2, 9, {"loss": 1.0}))
    assert told == [({"step": 7}, None), ({"early": 1.0}, None)]  # every worker reports: it is a barrier
    assert recorded.events == []


def test_a_check_of_a_trial_is_told_after_its_points_are_written(
    plan: Plan, hooks: Callable[[], Hooks], tmp_path: Path
) -> None:
    recorded = Recorded()

    def look(step: StepReport) -> dict[str, float] | None:
        return {"early": 1.0} if step.step == 2 else None

    job = WorkerJob(plan, RunFolder(tmp_path), recorded, None, look)
    job(torch.device("cpu"), None, lambda *given: recorded.events.append(given), None)
    del recorded.events[:]
    for step in (1, 2):
        hooks().on_step(StepReport(step, 9, {"loss": 1.0}))
    values = {"loss": 1.0, "workers": 1.0}
    assert recorded.events == [("curve", 1, values), ("curve", 2, values), "flush", ({"early": 1.0}, None)]


@contextlib.contextmanager
def nothing(*given: Any) -> Iterator[str]:
    yield "board"


@pytest.mark.parametrize(("count", "said"), [(1, "a Ray task (one worker)"), (2, "Ray Train, 2 workers")])
def test_one_worker_is_a_task_and_several_are_ray_train(
    count: int, said: str, digits: Path, storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    plan = make_plan(small(digits, storage, workers={"count": count, "cpus": 3}))
    folder, calls = RunFolder(tmp_path), []
    folder.note("of an earlier start")
    capsys.readouterr()

    def options(**asked: Any) -> Any:
        calls.append(asked)
        return SimpleNamespace(remote=lambda *given: folder.note("of now"))

    def train_workers(job: WorkerJob, *given: Any) -> None:
        calls.append(job.board)

    monkeypatch.setattr(unlearning, "_unlearn_task", SimpleNamespace(options=options))
    monkeypatch.setattr(unlearning, "train_workers", train_workers)
    monkeypatch.setattr(unlearning, "ray_board", nothing)
    monkeypatch.setattr(unlearning, "on_sigterm", nothing)
    monkeypatch.setattr(unlearning.ray, "get", lambda reference: reference)
    done = {"checkpoints": 2 if count == 2 else 0, "checkpoint_seconds": 0.5}
    monkeypatch.setattr(unlearning, "read_meta", lambda model, verify: {"result": done})
    unlearn(plan, folder, Recorded(), local=False)
    assert calls == ([{"num_cpus": 3, "num_gpus": 0, "max_retries": 3}] if count == 1 else ["board"])
    told = capsys.readouterr().err
    assert f"unlearn: {said}" in told
    assert "of an earlier start" not in told
    assert ("2 checkpoints, each stopped the run for 0.25 s" in told) == (count == 2)
    assert told.count("of now") == (2 if count == 1 else 0)  # by the worker, and here by the driver
