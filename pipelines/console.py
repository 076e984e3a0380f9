"""Output of a running command: lines, and progress bars that workers update from any machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cu_core.types import StepReport

console = Console(stderr=True)
LINE_SECONDS = 30.0
"""Seconds between two lines about a bar, if bars cannot be drawn."""


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
    """One bar per label. ``update`` may be called from any thread of this process."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}
        self.lines: dict[str, tuple[float, int]] = {}
        """Time and value of the last line about a bar."""

    def update(self, label: str, done: int, total: int, note: str = "") -> None:
        if label not in self.tasks:
            self.tasks[label] = self.progress.add_task(label, total=total, note=note)
        self.progress.update(self.tasks[label], completed=done, total=total, note=note)
        if not console.is_terminal:  # in a log, a bar is only written when it ends
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
    """Format a count, as in ``1 run`` or ``2 runs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
