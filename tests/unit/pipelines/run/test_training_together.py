from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cu_core.config_io import config_from
from cu_core.workspace import Workspace
from pipelines.run import training_together
from pipelines.run.plan import TrainJob


class FakeTask:
    """Stands for the Ray task; a reference is the number of its call."""

    def __init__(self) -> None:
        self.waits_for: list[Any] = []
        self.asked: dict[str, Any] = {}

    def options(self, **asked: Any) -> FakeTask:
        self.asked = asked
        return self

    def remote(self, config: Any, job: Any, board: Any, label: str, after: Any) -> int:
        self.waits_for.append(after)
        return len(self.waits_for) - 1


@pytest.mark.parametrize(
    ("cpus", "waits_for"), [(2, [None, 0, 1, 2]), (4, [None, None, 0, 1]), (1, [None, 0, 1, 2]), (8, [None] * 4)]
)
def test_as_many_trainings_run_side_by_side_as_fit(
    cpus: int, waits_for: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = FakeTask()
    monkeypatch.setattr(training_together, "_train_together", task)
    monkeypatch.setattr(training_together, "resources", lambda: {"CPU": float(cpus), "GPU": 0.0})
    config = config_from({"train": {"workers": {"count": 2}}})
    started: list[Any] = []
    for number in range(4):
        job = TrainJob(f"oracle {number}", Path("models") / str(number), None)
        started.append(training_together.start_together(Workspace(config), job, None, job.label, started))
    assert task.waits_for == waits_for
    assert task.asked == {"num_cpus": 0, "max_retries": 3}
