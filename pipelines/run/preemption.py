"""SIGTERM, the notice that a machine will be taken away: a checkpoint is taken, then the run ends as by Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

import ray
from ray.exceptions import RayError
from ray.train import UserCallback

from pipelines.cluster.signals import interrupt
from pipelines.console import console

PATIENCE = 25.0
"""Seconds that a checkpoint is waited for; clusters kill after 30."""
LOOK = 0.5
ASKED = "asked"
"""Beside the step in what a worker reports with a checkpoint: whether it was asked for."""


class PreemptionSignal(Protocol):
    """Between whoever got the notice and who takes the checkpoint."""

    def ask(self) -> None: ...

    def asked(self) -> bool: ...

    def saved(self) -> None:
        """A worker has handed its state over, and need not be asked again."""

    def taken(self) -> None: ...

    def is_taken(self) -> bool: ...


class LocalSignal:
    """In one process."""

    def __init__(self) -> None:
        self._asked, self._taken = threading.Event(), threading.Event()

    def ask(self) -> None:
        self._asked.set()

    def asked(self) -> bool:
        return self._asked.is_set() and not self._taken.is_set()

    def saved(self) -> None:
        self.taken()

    def taken(self) -> None:
        if self._asked.is_set():
            self._taken.set()

    def is_taken(self) -> bool:
        return self._taken.is_set()


class BoardSignal:
    """The same on a board of Ray; a worker looks twice a second, in a thread of its own."""

    def __init__(self, board: Any):
        self.board, self._seen, self._looking, self._saved = board, False, False, False

    def ask(self) -> None:
        ray.get(self.board.ask.remote())

    def asked(self) -> bool:
        if not self._looking:
            self._looking = True
            threading.Thread(target=self._look, daemon=True).start()
        return self._seen and not self._saved

    def saved(self) -> None:
        self._saved = self._seen

    def _look(self) -> None:
        while True:
            try:
                self._seen = ray.get(self.board.is_asked.remote())
            except RayError:  # the driver is gone, and the board with it
                return
            time.sleep(LOOK)

    def taken(self) -> None:
        self.saved()
        self.board.taken.remote()

    def is_taken(self) -> bool:
        return bool(ray.get(self.board.is_taken.remote()))


class ReportTaken(UserCallback):
    """A checkpoint of Ray Train that was asked for is taken once its controller knows of it: earlier, a restart would
    not find it."""

    def __init__(self, preemption: PreemptionSignal):
        self.preemption = preemption

    def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
        if checkpoint is not None and any(reported.get(ASKED) for reported in metrics):
            self.preemption.taken()


@contextmanager
def on_sigterm(preemption: PreemptionSignal) -> Iterator[None]:
    """While the block runs, SIGTERM asks for a checkpoint, and the block ends by KeyboardInterrupt once it is there."""

    asked, done = threading.Event(), threading.Event()

    def wait() -> None:
        try:
            preemption.ask()
            until = time.monotonic() + PATIENCE
            while not preemption.is_taken() and time.monotonic() < until:
                time.sleep(LOOK)
            console.print("a checkpoint was taken" if preemption.is_taken() else "no checkpoint could be taken in time")
        except RayError:  # the unlearning ended meanwhile, and its board with it: what it made is there
            console.print("the unlearning has ended")
        done.set()
        os.kill(os.getpid(), signal.SIGTERM)  # the second, which ends the block

    def handle(number: int, frame: FrameType | None) -> None:
        if done.is_set():
            interrupt(number, frame)
        elif not asked.is_set():
            asked.set()
            console.print("SIGTERM: taking a checkpoint", highlight=False)
            threading.Thread(target=wait, daemon=True).start()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
