from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from cu_core import traffic
from cu_core.traffic import TRAFFIC, between, counted, mark

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _nothing_sent() -> Iterator[None]:
    TRAFFIC.clear()
    yield
    TRAFFIC.clear()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [10.0]
    monkeypatch.setattr(traffic.time, "perf_counter", lambda: clock[0])
    return clock


def test_a_moment_of_a_cpu_is_the_clocks(now: list[float]) -> None:
    began = mark(CPU)
    now[0] = 12.5
    assert between(began, mark(CPU)) == 2.5


def test_moments_of_a_gpu_are_told_in_seconds() -> None:
    began, ended = Mock(), Mock()
    began.elapsed_time.side_effect = lambda other: 250.0 if other is ended else None  # milliseconds
    assert between(began, ended) == 0.25


@pytest.mark.parametrize(
    ("value", "expected"),
    [(torch.zeros(3, 5), 60), (torch.zeros(4, dtype=torch.float64), 32), (torch.zeros(7, dtype=torch.uint8), 7)],
)
def test_bytes_are_those_of_the_tensor_that_is_handed_over(value: torch.Tensor, expected: int) -> None:
    with counted(value):
        pass
    assert TRAFFIC.bytes == expected


def test_each_collective_has_its_wait_and_the_bytes_are_summed(now: list[float]) -> None:
    for seconds in (1, 3):
        with counted(torch.zeros(2)):
            now[0] += seconds
        now[0] += 100
    assert TRAFFIC.bytes == 16
    assert [between(began, ended) for began, ended in TRAFFIC.waits] == [1, 3]


def test_clear_forgets_all_of_it() -> None:
    waits: Any = TRAFFIC.waits
    with counted(torch.zeros(2)):
        pass
    TRAFFIC.last_bucket = 1.0
    TRAFFIC.clear()
    assert (TRAFFIC.bytes, TRAFFIC.waits, TRAFFIC.last_bucket) == (0, [], None)
    assert len(waits) == 1  # who holds the former list keeps it
