"""Progress in the driver of what workers do, wherever they run: a Ray actor keeps the latest state of every bar."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cu_core.types import StepReport
from pipelines.console import bars, describe


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
    # It dies with the driver alone.
    board = _Board.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]
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
