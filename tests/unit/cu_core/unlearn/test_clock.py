"""Where the time of a step goes: exact on a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from cu_core import traffic
from cu_core.traffic import TRAFFIC, counted
from cu_core.unlearn.clock import StepClock


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [0.0]
    monkeypatch.setattr(traffic.time, "perf_counter", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def test_time_in_collectives_is_no_part_of_the_lap_that_it_lies_in(wait: Callable[[float], None]) -> None:
    clock = StepClock(torch.device("cpu"))
    wait(1)
    clock.lap("data")
    wait(2)
    with counted(torch.zeros(10, 3)):
        wait(3)
    clock.lap("forward")
    wait(4)
    TRAFFIC.last_bucket = traffic.mark(torch.device("cpu"))
    wait(5)
    clock.lap("backward")
    wait(5)
    clock.lap("update")
    assert clock.read(rows=100) == {
        "data_seconds": 1,
        "forward_seconds": 2,
        "backward_seconds": 4,
        "update_seconds": 5,
        "communication_seconds": 8,
        "rows_per_second": 5,
        "communicated_bytes": 120,
    }


def test_a_step_does_not_see_what_the_one_before_sent(wait: Callable[[float], None]) -> None:
    clock = StepClock(torch.device("cpu"))
    with counted(torch.zeros(10)):
        wait(1)
    wait(7)  # a checkpoint is saved
    clock.restart()
    wait(2)
    clock.lap("data")
    found = clock.read(rows=4)
    assert found["communicated_bytes"] == 0
    assert found["data_seconds"] == 2
    assert found["rows_per_second"] == 2
