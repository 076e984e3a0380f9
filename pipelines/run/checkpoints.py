"""Checkpoints of what one process trains; Ray Train keeps those of several workers itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cu_core.checkpoint import TrainState, load_state, save_state
from cu_core.errors import DamagedFile
from cu_core.storage import fetched, names, remove
from cu_core.weights_file import META

KEPT_CHECKPOINTS = 2
TRAINING_PAUSE = 300.0
"""Seconds between two checkpoints of an original or oracle."""


def every(seconds: float) -> Callable[[], bool]:
    """Whether so long has passed since it was last true."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        if time.monotonic() < last + seconds:
            return False
        last = time.monotonic()
        return True

    return due


@dataclass(frozen=True)
class Checkpoints:
    """In a folder, or at its address, where any machine finds them; of each ``KEPT_CHECKPOINTS`` are kept."""

    folder: Path
    digest: str
    """Of the configuration that they belong to."""
    note: Callable[[str], None]
    """Told what the owner must know."""

    def save(self, state: TrainState) -> None:
        """What is newer, damaged or cut off, goes with what is too old."""
        newest = f"step-{state.step:08d}"
        save_state(self.folder / newest, state, self.digest)
        there_now = names(self.folder)
        whole = [name for name in there_now if name <= newest and fetched(self.folder / name / META)]
        for name in {*there_now} - {*whole[-KEPT_CHECKPOINTS:]}:
            remove(self.folder / name)

    def clear(self) -> None:
        """When they are not needed any more; another process that makes the same may still write here."""
        for name in names(self.folder):
            remove(self.folder / name)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def latest(self) -> TrainState | None:
        """The newest that is whole."""
        for name in reversed(names(self.folder)):
            found = self.folder / name
            if not fetched(found / META):  # cut off while it was sent
                continue
            try:
                state = load_state(found, self.digest)
            except (DamagedFile, FileNotFoundError) as error:
                self.note(f"{error} The checkpoint before is used.")
            else:
                self.note(f"goes on after step {state.step}")
                return state
        return None
