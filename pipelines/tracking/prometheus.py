"""What a step shows while a job runs: gauges that Prometheus reads from Ray's exporter, and lines of JSON in Ray's logs
(``logs/train/ray-train-app-worker-*`` of a run of several workers, else ``logs/worker-*.err``)."""

from __future__ import annotations

import functools
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from ray.util.metrics import Gauge

from cu_core.dist import rank
from cu_core.types import StepReport

LOG = logging.getLogger("cu")
LOG_SECONDS = 10.0
GAUGES = {
    "cu_step": ("Steps finished.", ()),
    "cu_max_steps": ("Steps at most.", ()),
    "cu_value": (
        "Loss terms, learning rate, stop rule, share of anchors without positives; over all ranks.",
        ("name",),
    ),
    "cu_rows_per_second": ("Rows through the trained model, of all ranks.", ()),
    "cu_seconds": ("Seconds of the last step on this rank, by part.", ("part",)),
    "cu_communicated_bytes": ("Bytes that this rank handed to collectives in the last step.", ()),
    "cu_gpu_memory_bytes": ("Most GPU memory that tensors of this rank took so far.", ()),
}
"""What each says, and its tags beside run and rank; Ray puts ``ray_`` before the names."""


@functools.cache
def _gauge(name: str) -> Gauge:
    about, tags = GAUGES[name]
    return Gauge(name, about, ("run", "rank", *tags))


@dataclass
class StepMetrics:
    """``on_step`` hook of a Ray worker, on every rank."""

    run: str
    next_line: float = 0.0
    parts: set[str] = field(default_factory=set)
    """Parts of a step seen so far: one that a step does not have took no time, not that of the step before."""

    def __post_init__(self) -> None:
        LOG.setLevel(logging.INFO)
        for handler in logging.getLogger().handlers:  # Ray's, which in a task lets nothing below errors pass
            handler.setLevel(logging.INFO)

    def __call__(self, report: StepReport) -> None:
        own = {"run": self.run, "rank": str(rank())}
        _gauge("cu_step").set(report.step, own)
        _gauge("cu_max_steps").set(report.max_steps, own)
        if rank() == 0:
            for name, value in report.values.items():
                _gauge("cu_value").set(value, own | {"name": name})
        seconds = {k.removesuffix("_seconds"): v for k, v in report.speed.items() if k.endswith("_seconds")}
        self.parts |= seconds.keys()
        for part in self.parts:
            _gauge("cu_seconds").set(seconds.get(part, 0.0), own | {"part": part})
        for name, value in report.speed.items():
            if not name.endswith("_seconds"):
                _gauge(f"cu_{name}").set(value, own)
        if time.monotonic() > self.next_line or "stop_forget" in report.values or report.step == report.max_steps:
            self.next_line = time.monotonic() + LOG_SECONDS
            LOG.info("step %d of %d", report.step, report.max_steps, extra=own | self._fields(report))

    @staticmethod
    def _fields(report: StepReport) -> dict[str, Any]:
        return {"step": report.step, **report.values, **report.speed}
