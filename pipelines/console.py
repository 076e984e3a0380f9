"""What is printed while a command runs: lines, and progress bars that workers feed wherever they run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

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


def counted(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
