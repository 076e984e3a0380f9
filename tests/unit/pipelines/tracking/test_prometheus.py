"""What a step shows while a job runs."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from cu_core.types import StepReport
from pipelines.tracking import prometheus
from pipelines.tracking.prometheus import GAUGES, StepMetrics

Shown = dict[tuple[str, ...], float]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Values of gauges, by name and values of the tags in the order of ``GAUGES``."""
    found: Shown = {}

    def gauge(name: str) -> Any:
        tags = ("run", "rank", *GAUGES[name][1])

        def set_value(value: float, given: dict[str, str]) -> None:
            assert set(given) == set(tags)  # Ray refuses others
            found[(name, *(given[tag] for tag in tags))] = value

        return SimpleNamespace(set=set_value)

    monkeypatch.setattr(prometheus, "_gauge", gauge)
    return found


def test_a_step_shows_its_values_under_run_and_rank(shown: Shown) -> None:
    speed = {"rows_per_second": 5.0, "data_seconds": 0.25}
    StepMetrics("r")(StepReport(3, 9, {"loss": 0.5}, speed))
    assert shown == {
        ("cu_step", "r", "0"): 3, ("cu_max_steps", "r", "0"): 9, ("cu_value", "r", "0", "loss"): 0.5,
        ("cu_seconds", "r", "0", "data"): 0.25, ("cu_rows_per_second", "r", "0"): 5.0,
    }  # fmt: skip


def test_a_part_that_a_step_does_not_have_took_no_time(shown: Shown) -> None:
    metrics = StepMetrics("r")
    metrics(StepReport(1, 9, {}, {"stop_seconds": 2.0}))
    metrics(StepReport(2, 9, {}, {"data_seconds": 1.0}))
    assert shown["cu_seconds", "r", "0", "stop"] == 0.0
    assert shown["cu_seconds", "r", "0", "data"] == 1.0


def test_values_over_all_ranks_are_shown_by_one(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "rank", lambda: 1)
    StepMetrics("r")(StepReport(1, 9, {"loss": 0.5}))
    assert set(shown) == {("cu_step", "r", "1"), ("cu_max_steps", "r", "1")}


def test_lines_come_every_ten_seconds_at_checks_and_at_the_end(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    monkeypatch.setattr(prometheus.time, "monotonic", lambda: now[0])
    metrics = StepMetrics("r")
    with caplog.at_level(logging.INFO, "cu"):
        for step, second in ((1, 100.0), (2, 105.0), (3, 111.0), (4, 112.0), (5, 113.0), (6, 114.0)):
            now[0] = second
            metrics(StepReport(step, 6, {"stop_forget": 0.1} if step == 4 else {"loss": 1.0}))
    assert [record.getMessage() for record in caplog.records] == [f"step {n} of 6" for n in (1, 3, 4, 6)]
    assert (caplog.records[0].run, caplog.records[0].step, caplog.records[0].loss) == ("r", 1, 1.0)  # type: ignore[attr-defined]
