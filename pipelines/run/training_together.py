"""Training of an original or oracle by several workers together, on Ray Train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cu_core.checkpoint import load_state
from cu_core.config import RunConfig
from cu_core.dist import rank
from cu_core.run import Hooks, run_train
from cu_core.storage import remove
from cu_core.workspace import Workspace
from pipelines.cluster.board import board_step
from pipelines.cluster.session import resources
from pipelines.run.checkpoints import TRAINING_PAUSE, every
from pipelines.run.folder import RunFolder
from pipelines.run.handed_over import HandOver
from pipelines.run.plan import TrainJob
from pipelines.run.ray_train import Preemption, Report, train_workers
from pipelines.run.task_options import both, ray_task
from pipelines.tracking.prometheus import StepMetrics


@dataclass(frozen=True)
class TrainWorkerJob:
    """What every Ray Train worker gets that trains an original or an oracle together with others."""

    workspace: Workspace
    job: TrainJob
    board: Any
    label: str

    def __call__(self, device: torch.device, wrap: Any, report: Report, checkpoint: Path | None) -> None:
        key = self.job.folder.name
        preempted, due = Preemption(), every(TRAINING_PAUSE)

        seen = StepMetrics(key)
        hooks = Hooks(
            device=device,
            wrap=wrap,
            save=HandOver(report, key),
            on_step=both(board_step(self.board, self.label), seen) if rank() == 0 else seen,
            latest=lambda: load_state(checkpoint, key) if checkpoint else None,
            wants_checkpoint=lambda: any([preempted(), rank() == 0 and due()]),
        )
        run_train(self.workspace.for_request(self.job.forget_file), self.job.folder, hooks, self.job.number)


def start_together(workspace: Workspace, job: TrainJob, board: Any, label: str, started: Sequence[Any]) -> Any:
    """Start a training by several workers once one of those that were ``started`` has left room for it.

    It takes no CPU itself: its workers do, and one that waits for theirs must not hold some of them.
    """
    config = workspace.config
    at_once = _at_once(config)
    after = started[-at_once] if len(started) >= at_once else None
    options = {"num_cpus": 0, "max_retries": config.workers.max_failures}
    return _train_together.options(**options).remote(workspace, job, board, label, after)


@ray_task
def _train_together(workspace: Workspace, job: TrainJob, board: Any, label: str, after: Any) -> None:
    """Drive one training. Ray starts it when ``after`` is there."""
    config = workspace.config
    folder = RunFolder(config.store / "training" / job.folder.name)
    folder.path.mkdir(parents=True, exist_ok=True)
    train_workers(TrainWorkerJob(workspace, job, board, label), config.while_training, folder)
    remove(folder.path)


def _at_once(config: RunConfig) -> int:
    """How many trainings by several workers the cluster holds side by side."""
    workers, have = config.while_training.workers, resources()
    places = have["GPU"] if workers.gpu else have["CPU"] / workers.cpus
    return max(1, int(places // workers.count))
