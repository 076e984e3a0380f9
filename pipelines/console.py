"""Progress bars in the driver, fed by workers wherever they run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cu_core.types import StepReport

console = Console(stderr=True)
LINE_SECONDS = 30.0
"""Between two lines about a bar that cannot be drawn."""


def new_progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<32}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


class Bars:
    """One bar a label; ``update`` may be called from any thread of this process."""

    def __init__(self, progress: Progress):
        self.progress, self.tasks = progress, {}
        self.lines: dict[str, tuple[float, int]] = {}
        """When a bar was last told of in a line, and what it stood at."""

    def update(self, label: str, done: int, total: int, note: str = "") -> None:
        if label not in self.tasks:
            self.tasks[label] = self.progress.add_task(label, total=total, note=note)
        self.progress.update(self.tasks[label], completed=done, total=total, note=note)
        if not console.is_terminal:  # a log has no bars until they end
            when, stood = self.lines.setdefault(label, (time.monotonic(), done))
            if time.monotonic() > when + LINE_SECONDS and done != stood:
                self.lines[label] = time.monotonic(), done
                console.print(f"{label}: {done} of {total}  {note}", highlight=False)


@contextmanager
def bars() -> Iterator[Bars]:
    with new_progress() as progress:
        yield Bars(progress)


def describe(report: StepReport) -> str:
    loss = report.values.get("loss")
    return f"loss {loss:.3f}" if loss is not None else ""


@ray.remote(num_cpus=0)
class _Board:
    """Latest state of every bar; workers write without waiting, the driver reads twice a second."""

    def __init__(self) -> None:
        self.latest: dict[str, tuple[int, int, str]] = {}
        self.asked = self.was_taken = False

    def ask(self) -> None:
        """A checkpoint, as soon as can be."""
        self.asked = True

    def is_asked(self) -> bool:
        return self.asked and not self.was_taken

    def taken(self) -> None:
        self.was_taken = self.asked

    def is_taken(self) -> bool:
        return self.was_taken

    def update(self, label: str, done: int, total: int, note: str) -> None:
        self.latest[label] = (done, total, note)

    def read(self) -> dict[str, tuple[int, int, str]]:
        return self.latest


@contextmanager
def ray_board() -> Iterator[Any]:
    """A board that workers get as a handle; its bars are drawn here while the block runs."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board = _Board.options(scheduling_strategy=here).remote()  # it dies with the driver alone
    stop = threading.Event()
    with bars() as drawn:

        def draw() -> None:
            for label, state in ray.get(board.read.remote()).items():
                drawn.update(label, *state)

        def poll() -> None:
            while not stop.wait(0.5):
                draw()

        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield board
        finally:
            stop.set()
            thread.join()
            draw()
            ray.kill(board)


def board_step(board: Any, label: str) -> Callable[[StepReport], None]:
    """An ``on_step`` hook that reports to the board."""
    return lambda report: board.update.remote(label, report.step, report.max_steps, describe(report))
