"""What a rank hands to collectives is counted whole: gathered rows, their gradient, and the weights' gradients."""

from __future__ import annotations

import torch
from torch import nn

from cu_core.dist import data_parallel, gather_rows, rank
from cu_core.traffic import TRAFFIC
from cu_core.unlearn.clock import StepClock
from tests.parity.ranks import on_ranks

FLOAT, LONG = 4, 8


def one_step() -> dict[str, float]:
    layer = nn.Linear(5, 3)
    wrapped = data_parallel(layer, broadcast_buffers=False)
    images = torch.ones(2 + rank(), 5)
    clock = StepClock(torch.device("cpu"))
    loss = gather_rows(wrapped(images)).sum()
    clock.lap("forward")
    loss.backward()
    clock.lap("backward")
    assert TRAFFIC.last_bucket is not None
    return clock.read(rows=5)


def test_bytes_and_time_of_a_step_on_two_ranks() -> None:
    found = on_ranks(2, one_step)
    sizes, rows, rows_gradient, weights = 2 * LONG, 3 * 3 * FLOAT, 5 * 3 * FLOAT, (5 * 3 + 3) * FLOAT
    assert found["communicated_bytes"] == sizes + rows + rows_gradient + weights
    assert found["communication_seconds"] > 0
    assert set(found) >= {"forward_seconds", "backward_seconds", "rows_per_second"}
