from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cu_core.checkpoint import TrainState, load_state
from pipelines.run import handed_over
from pipelines.run.handed_over import HandOver

STATE = TrainState(3, {"w": torch.ones(2)}, {"w": {"exp_avg": torch.zeros(2)}}, {}, torch.get_rng_state())
Told = list[tuple[dict[str, float], Any]]


@pytest.fixture
def told() -> Told:
    return []


def report_to(told: Told) -> Any:
    def report(metrics: dict[str, float], folder: Path | None, finish: Callable[[], None] | None = None) -> None:
        told.append((metrics, finish if finish else folder and load_state(folder, "digest").step))

    return report


def test_worker_0_writes_a_whole_state_before_it_tells_of_it(told: Told) -> None:
    HandOver(report_to(told), "digest")(STATE, asked=1.0)
    assert told == [({"step": 3.0, "asked": 1.0}, 3)]


def test_the_others_tell_the_step_alone(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_over, "rank", lambda: 1)
    HandOver(report_to(told), "digest")(STATE)
    assert told == [({"step": 3.0}, None)]


def test_of_a_sharded_state_every_worker_sends_its_part_in_the_background(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []

    class Saver:
        def begin(self, folder: Path, state: TrainState, digest: str) -> Callable[[], None]:
            begun.append(folder)
            return print

    monkeypatch.setattr(TrainState, "sharded", True)
    monkeypatch.setattr(handed_over, "rank", lambda: 1)
    HandOver(report_to(told), "digest", Saver())(STATE)  # type: ignore[arg-type]
    assert told == [({"step": 3.0}, print)]
    assert list(begun[0].iterdir()) == []
    begun[0].rmdir()
