"""The values of a run's steps: in a file of the run at once, in MLflow as soon as it answers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from pydantic import TypeAdapter

from cu_core.files import write_text
from cu_core.storage import GROWING, fetched
from cu_core.stored import read_stored
from cu_core.types import StepReport

Steps = Sequence[tuple[int, Mapping[str, float]]]
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
"""Between two steps nobody waits for a server; at the end of the run MLflow's own patience holds, some minutes."""
STEPS = "steps.json"
GROWING.add(STEPS)
STEPS_FILE = TypeAdapter(list[tuple[int, dict[str, float]]])
SPEED = "speed/"
LIMIT = 1000
"""Points that MLflow takes at once."""


def read_steps(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Values of every step of a run, as it reported them."""
    path = folder / STEPS
    return (
        read_stored(path, STEPS_FILE, "delete it: the run goes on, without its earlier curves") if fetched(path) else []
    )


@dataclass
class StepLog:
    """``on_step`` hook that keeps the values of every step in a file; what a restart takes again replaces the old."""

    folder: Path
    steps: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def __call__(self, report: StepReport) -> None:
        if not self.steps:
            self.steps = [(s, v) for s, v in read_steps(self.folder) if s < report.step]
        speed = {f"{SPEED}{name}": value for name, value in report.speed.items()}
        self.steps.append((report.step, {**report.values, **speed}))

    def flush(self) -> None:
        if self.steps:
            write_text(self.folder / STEPS, json.dumps(self.steps))


@dataclass
class CurveWriter:
    """``on_step`` hook of rank 0: file and MLflow, in batches. Where MLflow does not answer the run goes on; what it
    lacks is delivered later, at the latest by ``deliver`` at the run's end."""

    log: StepLog
    uri: str
    run_id: str
    flush_seconds: float = 5.0
    pause_seconds: float = 30.0
    """How long MLflow is left alone after it did not answer."""
    sent: int | None = None
    next_flush: float = field(default_factory=time.monotonic)

    def __call__(self, report: StepReport) -> None:
        self.log(report)
        if time.monotonic() > self.next_flush or report.step == report.max_steps:
            self.flush()

    def flush(self) -> None:
        self.log.flush()
        self.next_flush = max(self.next_flush, time.monotonic() + self.flush_seconds)
        try:
            with impatient():
                self.sent = deliver(self.log.steps, self.uri, self.run_id, self.sent)
        except MlflowException:
            self.sent = None  # it may have taken them all the same, and is asked
            self.next_flush = time.monotonic() + self.pause_seconds


@contextmanager
def impatient() -> Iterator[None]:
    """MLflow is not waited for."""
    before = {name: os.environ.get(name) for name in IMPATIENT}
    os.environ |= IMPATIENT
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def deliver(steps: Steps, uri: str, run_id: str, sent: int | None = None) -> int:
    """Send the points after step ``sent`` (absent: after the last that MLflow has); returns the last step it then has.

    Raises: MlflowException if the server does not answer; what was sent by then is not sent again.
    """
    client = MlflowClient(uri)
    if sent is None:  # steps are sent whole: any curve that all of them have tells
        common = sorted(set.intersection(*(set(values) for _, values in steps))) if steps else []
        told = client.get_metric_history(run_id, _curve(common[0])) if common else []
        sent = max((m.step for m in told), default=0)
    now = int(time.time() * 1000)
    new = [[Metric(_curve(k), v, now, step) for k, v in values.items()] for step, values in steps if step > sent]
    at_once = max(1, LIMIT // max(map(len, new), default=1) or 1)
    for start in range(0, len(new), at_once):  # whole steps: the last one there tells what is missing
        client.log_batch(run_id, metrics=[point for points in new[start : start + at_once] for point in points])
    return max([sent, *(step for step, _ in steps)])


def _curve(name: str) -> str:
    return name if name.startswith(SPEED) else f"step/{name}"


def loss_curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The loss terms of a run: (step, value) points by name."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for step, values in read_steps(folder):
        for name in (n for n in sorted(values) if n.endswith("loss")):
            curves.setdefault(name, []).append((step, values[name]))
    return curves
