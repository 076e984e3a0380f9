"""What the collectives of this process carry, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

Mark = float | torch.cuda.Event
"""A moment of this process, or on a GPU an event of its stream, which makes nothing wait."""


def mark(device: torch.device) -> Mark:
    """Return the present moment; on a GPU it is an event of the stream."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def between(began: Mark, ended: Mark) -> float:
    """Return the seconds between two moments; moments of a GPU must both be past."""
    if isinstance(began, float) or isinstance(ended, float):
        return float(ended) - float(began)  # type: ignore[arg-type]
    return float(began.elapsed_time(ended)) / 1000


@dataclass
class Traffic:
    """Bytes and waiting times since ``clear``."""

    bytes: int = 0
    """Handed to collectives by this rank."""
    waits: list[tuple[Mark, Mark]] = field(default_factory=list)
    last_bucket: Mark | None = None
    """When the last gradients of a step were ready to be summed over ranks. After it the backward pass only waits for
    other ranks."""

    def clear(self) -> None:
        """Start to count anew."""
        self.bytes, self.waits, self.last_bucket = 0, [], None


TRAFFIC = Traffic()


@contextmanager
def counted(value: torch.Tensor) -> Iterator[None]:
    """Context manager around a collective that this rank hands ``value`` to."""
    began = mark(value.device)
    yield
    TRAFFIC.bytes += value.numel() * value.element_size()
    TRAFFIC.waits.append((began, mark(value.device)))
