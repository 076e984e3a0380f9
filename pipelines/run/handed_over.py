"""Train states of a Ray Train worker, handed over to Ray as checkpoints."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from cu_core.checkpoint import TrainState, save_state
from cu_core.dist import rank
from cu_core.sharded_state import StateSaver
from pipelines.run.ray_train import Report


@dataclass(frozen=True)
class HandOver:
    """A whole state is written by worker 0 while all wait; of a sharded one every worker writes and sends its part in
    the background. Every worker must hand over in the same steps."""

    report: Report
    digest: str
    """Of the configuration that the states belong to."""
    saver: StateSaver = field(default_factory=StateSaver)

    def __call__(self, state: TrainState, **metrics: float) -> None:
        told = {"step": float(state.step), **metrics}
        if state.sharded:
            folder = Path(tempfile.mkdtemp())
            self.report(told, folder, self.saver.begin(folder, state, self.digest))
        elif rank() != 0:
            self.report(told, None)
        else:
            with tempfile.TemporaryDirectory() as place:
                save_state(Path(place) / "state", state, self.digest)
                self.report(told, Path(place) / "state")
