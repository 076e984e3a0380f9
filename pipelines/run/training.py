"""Training of originals and oracles: in this process, or side by side as Ray tasks."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Sequence
from typing import Any

import ray

from cu_core.checkpoint import TrainState
from cu_core.config import RunConfig
from cu_core.run import Hooks, import_original, run_train
from cu_core.workspace import Workspace
from pipelines.cluster.board import board_step, ray_board
from pipelines.cluster.session import ray_session
from pipelines.console import bars, console
from pipelines.run.checkpoints import TRAINING_PAUSE, Checkpoints, every
from pipelines.run.plan import TrainJob, make_plan
from pipelines.run.task_options import OnStep, bar_step, both, device_of, ray_task, task_options
from pipelines.tracking.prometheus import StepMetrics


def _is_import(config: RunConfig, job: TrainJob) -> bool:
    """Whether the model is taken from a file, which this machine alone may have."""
    return job.forget_file is None and config.model.weights not in (None, "pretrained")


def _train(workspace: Workspace, job: TrainJob, on_step: OnStep) -> None:
    config = workspace.config
    if _is_import(config, job):
        import_original(workspace, job.folder)
        return
    key = job.folder.name
    say = functools.partial(print, f"{job.label}:", file=sys.stderr)
    kept = Checkpoints(config.store / "training" / key, key, say)
    due = every(TRAINING_PAUSE) if config.workers.checkpoint_every else lambda: False

    def save(state: TrainState) -> None:
        try:
            kept.save(state)
        except OSError as error:  # another job that trains the same model may clear it away
            say(f"no checkpoint: {error}")

    hooks = Hooks(device=device_of(config), on_step=on_step, save=save, latest=kept.latest, wants_checkpoint=due)
    run_train(workspace.for_request(job.forget_file), job.folder, hooks, job.number)
    kept.clear()


@ray_task
def _train_task(workspace: Workspace, job: TrainJob, board: Any, label: str) -> None:
    _train(workspace, job, both(board_step(board, label), StepMetrics(job.folder.name)))


def train_missing(workspace: Workspace, jobs: Sequence[TrainJob], local: bool) -> None:
    """Make the models that are not there: side by side as Ray tasks, or one after the other in this process."""
    if not jobs:
        return
    console.print(
        f"{len(jobs)} to train: {', '.join(j.label for j in jobs)} ({'in this process' if local else 'Ray tasks'})"
    )
    if local:
        with bars() as drawn:
            for job in jobs:
                _train(workspace, job, bar_step(drawn, job.label))
        return
    train_side_by_side([(workspace, job) for job in jobs])


def train_side_by_side(jobs: Sequence[tuple[Workspace, TrainJob]]) -> None:
    """Ray tasks or, of several workers each, Ray Train runs: as many at once as the cluster holds."""
    with ray_board() as board:
        ray.get(start_training(jobs, board))


def start_training(jobs: Sequence[tuple[Workspace, TrainJob]], board: Any, memory: int | None = None) -> list[Any]:
    """Start a task for each model, ``memory`` bytes set aside for each of one worker; their references, which other
    tasks may wait for."""
    labels = [job.label for _, job in jobs]

    def start(workspace: Workspace, job: TrainJob) -> Any:
        config = workspace.config
        if _is_import(config, job):
            import_original(workspace, job.folder)
            return ray.put(None)
        label = job.label if labels.count(job.label) == 1 else f"{job.label} ({job.folder.name[:5]})"
        if config.train.workers.count == 1:
            return _train_task.options(**task_options(config), memory=memory).remote(workspace, job, board, label)
        from pipelines.run.training_together import start_together  # imports Ray Train: seconds for every task

        together.append(start_together(workspace, job, board, label, together))
        return together[-1]

    together: list[Any] = []
    return [start(workspace, job) for workspace, job in jobs]


def train_wanted(config: RunConfig, *, oracles: bool, local: bool) -> list[TrainJob]:
    """`cu train`: the original, and the oracles of the request if they are wanted too."""
    plan = make_plan(config)
    wanted = [plan.original, *(plan.oracles if oracles else ())]
    missing = [job for job in wanted if not job.done]
    with contextlib.nullcontext() if local or not missing else ray_session(plan.config):
        train_missing(plan.workspace, missing, local)
    return wanted
