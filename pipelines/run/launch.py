"""Where work runs: this process, a plain Ray task (one worker), or a Ray Train run (several)."""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import ray
import torch

from cu_core.audit.report import AuditReport
from cu_core.checkpoint import TrainState, load_state, save_state
from cu_core.config import RunConfig
from cu_core.dist import rank, use_cpus, world_size
from cu_core.environment import say
from cu_core.files import atomic_file
from cu_core.run import Hooks, import_original, run_train, run_unlearn
from cu_core.run_audit import ELSEWHERE, run_audit
from cu_core.types import StepReport
from pipelines.console import Bars, bars, board_step, console, describe, ray_board
from pipelines.run.checkpoints import Checkpoints
from pipelines.run.folder import RunFolder
from pipelines.run.plan import Plan, TrainJob
from pipelines.run.preemption import ASKED, Announce, BoardDesk, Desk, HereDesk, notice
from pipelines.run.ray_train import Preemption, train_workers
from pipelines.tracking.prometheus import Watch

OnStep = Callable[[StepReport], None]
TRAINING_PAUSE = 300.0
"""Seconds between two checkpoints of an original or oracle."""


class Curves(Protocol):
    """Keeps the values of the steps; points before the last ``flush`` are not written again after a restart."""

    def __call__(self, report: StepReport) -> None: ...

    def flush(self) -> None: ...


def device_of(config: RunConfig) -> torch.device:
    return torch.device(config.workers.device)


def _is_import(config: RunConfig, job: TrainJob) -> bool:
    """Whether the model is taken from a file, which this machine alone may have."""
    return job.forget_file is None and config.model.weights not in (None, "pretrained")


def _train(config: RunConfig, job: TrainJob, on_step: OnStep) -> None:
    if _is_import(config, job):
        import_original(config, job.folder)
        return
    key = job.folder.name
    say = functools.partial(print, f"{job.label}:", file=sys.stderr)
    kept = Checkpoints(config.store / "training" / key, key, say)
    due = _every(TRAINING_PAUSE) if config.workers.checkpoint_every else lambda: False

    def save(state: TrainState) -> None:
        try:
            kept.save(state)
        except OSError as error:  # another job that trains the same model may clear it away
            say(f"no checkpoint: {error}")

    hooks = Hooks(device=device_of(config), on_step=on_step, save=save, latest=kept.latest, wants_checkpoint=due)
    run_train(config, job.folder, hooks, forget_file=job.forget_file, number=job.number)
    kept.clear()


def _every(seconds: float) -> Callable[[], bool]:
    """Whether so long has passed since it was last true."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        if time.monotonic() < last + seconds:
            return False
        last = time.monotonic()
        return True

    return due


def gpu_share(config: RunConfig) -> float:
    """Part of a GPU that one task takes."""
    return 1 / config.workers.models_per_gpu


def task_options(config: RunConfig) -> dict[str, Any]:
    return {
        "num_cpus": 1,
        "num_gpus": gpu_share(config) if config.workers.gpu else 0,
        "max_retries": config.workers.max_failures,
    }


@ray.remote
def _train_task(config: RunConfig, job: TrainJob, board: Any, label: str) -> None:
    use_cpus(1)
    _train(config, job, _both(board_step(board, label), Watch(job.folder.name)))


def train_missing(config: RunConfig, jobs: Sequence[TrainJob], local: bool) -> None:
    """Make the models that are not there: side by side as Ray tasks, or one after the other in this process."""
    if not jobs:
        return
    console.print(
        f"{len(jobs)} to train: {', '.join(j.label for j in jobs)} ({'in this process' if local else 'Ray tasks'})"
    )
    if local:
        with bars() as drawn:
            for job in jobs:
                _train(config, job, bar_step(drawn, job.label))
        return
    train_side_by_side([(config, job) for job in jobs])


def train_side_by_side(jobs: Sequence[tuple[RunConfig, TrainJob]]) -> None:
    """Ray tasks, one worker each, as many at once as the cluster holds."""
    with ray_board() as board:
        ray.get(start_training(jobs, board))


def start_training(jobs: Sequence[tuple[RunConfig, TrainJob]], board: Any, memory: int | None = None) -> list[Any]:
    """Start a task for each model, ``memory`` bytes set aside for each; their references, which other tasks may wait
    for."""
    labels = [job.label for _, job in jobs]

    def start(config: RunConfig, job: TrainJob) -> Any:
        if _is_import(config, job):
            import_original(config, job.folder)
            return ray.put(None)
        label = job.label if labels.count(job.label) == 1 else f"{job.label} ({job.folder.name[:5]})"
        return _train_task.options(**task_options(config), memory=memory).remote(config, job, board, label)

    return [start(config, job) for config, job in jobs]


def bar_step(drawn: Bars, label: str) -> OnStep:
    return lambda report: drawn.update(label, report.step, report.max_steps, describe(report))


def _both(first: OnStep, second: OnStep) -> OnStep:
    def call(report: StepReport) -> None:
        first(report)
        second(report)

    return call


def _going_on(folder: RunFolder, state: TrainState) -> TrainState:
    if rank() == 0:
        folder.note(f"goes on after step {state.step}")
    return state


def _local_hooks(plan: Plan, folder: RunFolder, on_step: OnStep, curves: Curves, desk: Desk) -> Hooks:
    kept = Checkpoints(folder.checkpoints, plan.digest, folder.note)

    def save(state: TrainState) -> None:
        curves.flush()  # a restart from this checkpoint does not write these points again
        kept.save(state)
        desk.taken()

    device = device_of(plan.config)
    return Hooks(device=device, save=save, latest=kept.latest, on_step=on_step, wants_checkpoint=desk.asked)


def unlearn_here(plan: Plan, folder: RunFolder, on_step: OnStep, curves: Curves, desk: Desk) -> None:
    """The whole unlearning in this process, checkpoints in the run's folder."""
    hooks = _local_hooks(plan, folder, _both(on_step, curves), curves, desk)
    run_unlearn(plan.config, plan.original.folder, plan.forget_file, folder.unlearned, hooks)
    curves.flush()


@ray.remote
def _unlearn_task(plan: Plan, folder: RunFolder, curves: Curves, board: Any) -> None:
    use_cpus(plan.config.workers.cpus)  # Ray says it too late for a process that is reused
    unlearn_here(plan, folder, _both(board_step(board, "unlearn"), Watch(folder.name)), curves, BoardDesk(board))


@dataclass(frozen=True)
class WorkerJob:
    """What every Ray Train worker gets."""

    plan: Plan
    folder: RunFolder
    curves: Curves
    board: Any
    look: Callable[[StepReport], dict[str, float] | None] = lambda step: None
    """What Ray Tune is told of a step; absent: nothing."""

    def __call__(
        self,
        device: torch.device,
        wrap: Any,
        report: Callable[[dict[str, float], Path | None], None],
        checkpoint: Path | None,
    ) -> None:
        digest = self.plan.digest
        desk: Desk = BoardDesk(self.board) if self.board else HereDesk()
        preempted = Preemption()

        def save(state: TrainState) -> None:
            if rank() != 0:
                report({"step": state.step}, None)
                return
            self.curves.flush()  # a restart from this checkpoint does not write these points again
            asked = desk.asked()  # else it was due, and the one that is asked for comes after it
            with tempfile.TemporaryDirectory() as place:
                save_state(Path(place) / "state", state, digest)
                report({"step": state.step, ASKED: float(asked)}, Path(place) / "state")
            if asked:
                desk.saved()

        hooks = Hooks(
            device=device,
            wrap=wrap,
            save=save,
            on_step=self._on_step(report),
            latest=lambda: _going_on(self.folder, load_state(checkpoint, digest)) if checkpoint else None,
            wants_checkpoint=lambda: any([preempted(), rank() == 0 and desk.asked()]),
        )
        plan = self.plan
        run_unlearn(plan.config, plan.original.folder, plan.forget_file, self.folder.unlearned, hooks)
        if rank() == 0:
            self.curves.flush()

    def _on_step(self, report: Callable[[dict[str, float], Path | None], None]) -> Callable[[StepReport], None]:
        """What this rank does after a step."""

        def look(step: StepReport) -> None:
            if found := self.look(step):
                if rank() == 0:
                    self.curves.flush()  # a trial that is ended here does not come back
                report(found, None)

        everywhere = _both(Watch(self.folder.name), look)
        drawn = board_step(self.board, "unlearn") if self.board else lambda step: None
        return _both(_both(drawn, self._curves), everywhere) if rank() == 0 else everywhere

    def _curves(self, step: StepReport) -> None:
        """With the number of workers, which an elastic run changes."""
        self.curves(replace(step, values={**step.values, "workers": float(world_size())}))


def unlearn(plan: Plan, folder: RunFolder, curves: Curves, local: bool) -> None:
    """Run the unlearning and say where."""
    count = plan.config.workers.count
    if local:
        console.print("unlearn: in this process")
        desk = HereDesk()
        with bars() as drawn, notice(desk):
            unlearn_here(plan, folder, bar_step(drawn, "unlearn"), curves, desk)
        return
    kind = "a Ray task (one worker)" if count == 1 else f"Ray Train, {count} workers (start-up takes about 15 s)"
    console.print(f"unlearn: {kind}")
    noted = len(folder.notes)
    with ray_board() as board, notice(BoardDesk(board)):
        if count == 1:
            options = task_options(plan.config) | {"num_cpus": plan.config.workers.cpus}
            ray.get(_unlearn_task.options(**options).remote(plan, folder, curves, board))
        else:
            announce = Announce(BoardDesk(board))
            train_workers(WorkerJob(plan, folder, curves, board), plan.config, folder, [announce])
    for line in folder.notes[noted:]:
        console.print(line, highlight=False)


def audit_here(
    plan: Plan, unlearned: Path, progress: Callable[[str], None], samples: bool = False
) -> tuple[AuditReport, pa.Table | None]:
    """The audit in this process, with the per-sample table if it is wanted."""
    folders = {"original": plan.original.folder, "unlearned": unlearned}
    oracles = [job.folder for job in plan.oracles]
    return run_audit(plan.config, plan.forget_file, folders, oracles, device_of(plan.config), progress, samples=samples)


@ray.remote
def _audit_task(plan: Plan, unlearned: Path, board: Any) -> tuple[AuditReport, pa.Table | None]:
    use_cpus(1)
    roles: list[str] = []

    def progress(role: str) -> None:
        roles.append(role)
        board.update.remote("audit", len(roles), 2 + len(plan.oracles), role)

    return audit_here(plan, unlearned, progress, samples=True)


def audit(plan: Plan, unlearned: Path, samples_file: Path, local: bool) -> AuditReport:
    """Audit all models of the plan; the per-sample table is written to ``samples_file`` of this machine."""
    report, samples = _audit(plan, unlearned, local)
    for line in report.versions.get(ELSEWHERE, "").splitlines():  # a worker of Ray says nothing to the user
        say(line)
    with atomic_file(samples_file) as partial:
        pq.write_table(samples, partial)
    return report


def _audit(plan: Plan, unlearned: Path, local: bool) -> tuple[AuditReport, pa.Table | None]:
    if local:
        with bars() as drawn:
            roles: list[str] = []

            def progress(role: str) -> None:
                roles.append(role)
                drawn.update("audit", len(roles), 2 + len(plan.oracles), role)

            return audit_here(plan, unlearned, progress, samples=True)
    with ray_board() as board:
        task = _audit_task.options(**task_options(plan.config))
        found: tuple[AuditReport, pa.Table | None] = ray.get(task.remote(plan, unlearned, board))
        return found
