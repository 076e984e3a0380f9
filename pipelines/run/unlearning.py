"""The unlearning of a run: in this process, as a Ray task (one worker), or as a Ray Train run (several)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import ray
import torch

from cu_core.checkpoint import TrainState, load_state, read_meta
from cu_core.dist import rank, world_size
from cu_core.run import Hooks, run_unlearn
from cu_core.types import StepReport
from pipelines.cluster.board import board_step, ray_board
from pipelines.console import bars, console
from pipelines.run.checkpoints import Checkpoints
from pipelines.run.folder import RunFolder
from pipelines.run.handed_over import HandOver
from pipelines.run.plan import Plan
from pipelines.run.preemption import ASKED, BoardSignal, LocalSignal, PreemptionSignal, ReportTaken, on_sigterm
from pipelines.run.ray_train import Preemption, Report, train_workers
from pipelines.run.task_options import OnStep, bar_step, both, device_of, ray_task, task_options
from pipelines.tracking.prometheus import StepMetrics


class Curves(Protocol):
    """Keeps the values of the steps; points before the last ``flush`` are not written again after a restart."""

    def __call__(self, report: StepReport) -> None: ...

    def flush(self) -> None: ...


def _going_on(folder: RunFolder, state: TrainState) -> TrainState:
    if rank() == 0:
        folder.note(f"goes on after step {state.step}")
    return state


def _local_hooks(plan: Plan, folder: RunFolder, on_step: OnStep, curves: Curves, preemption: PreemptionSignal) -> Hooks:
    kept = Checkpoints(folder.checkpoints, plan.digest, folder.note)

    def save(state: TrainState) -> None:
        curves.flush()  # a restart from this checkpoint does not write these points again
        kept.save(state)
        preemption.taken()

    device = device_of(plan.config)
    return Hooks(device=device, save=save, latest=kept.latest, on_step=on_step, wants_checkpoint=preemption.asked)


def unlearn_here(plan: Plan, folder: RunFolder, on_step: OnStep, curves: Curves, preemption: PreemptionSignal) -> None:
    """The whole unlearning in this process, checkpoints in the run's folder."""
    hooks = _local_hooks(plan, folder, both(on_step, curves), curves, preemption)
    run_unlearn(plan.workspace, plan.original.folder, folder.unlearned, hooks)
    curves.flush()


@ray_task
def _unlearn_task(plan: Plan, folder: RunFolder, curves: Curves, board: Any) -> None:
    unlearn_here(plan, folder, both(board_step(board, "unlearn"), StepMetrics(folder.name)), curves, BoardSignal(board))


@dataclass(frozen=True)
class WorkerJob:
    """What every Ray Train worker gets."""

    plan: Plan
    folder: RunFolder
    curves: Curves
    board: Any
    look: Callable[[StepReport], dict[str, float] | None] = lambda step: None
    """What Ray Tune is told of a step; absent: nothing."""

    def __call__(self, device: torch.device, wrap: Any, report: Report, checkpoint: Path | None) -> None:
        digest = self.plan.digest
        preemption: PreemptionSignal = BoardSignal(self.board) if self.board else LocalSignal()
        preempted = Preemption()

        hand_over = HandOver(report, digest)

        def save(state: TrainState) -> None:
            if rank() != 0:
                hand_over(state)
                return
            self.curves.flush()  # a restart from this checkpoint does not write these points again
            asked = preemption.asked()  # else it was due, and the one that is asked for comes after it
            hand_over(state, **{ASKED: float(asked)})
            if asked:
                preemption.saved()

        hooks = Hooks(
            device=device,
            wrap=wrap,
            save=save,
            on_step=self._on_step(report),
            latest=lambda: _going_on(self.folder, load_state(checkpoint, digest)) if checkpoint else None,
            wants_checkpoint=lambda: any([preempted(), rank() == 0 and preemption.asked()]),
        )
        run_unlearn(self.plan.workspace, self.plan.original.folder, self.folder.unlearned, hooks)
        if rank() == 0:
            self.curves.flush()

    def _on_step(self, report: Report) -> Callable[[StepReport], None]:
        """What this rank does after a step."""

        def look(step: StepReport) -> None:
            if found := self.look(step):
                if rank() == 0:
                    self.curves.flush()  # a trial that is ended here does not come back
                report(found, None)

        everywhere = both(StepMetrics(self.folder.name), look)
        drawn = board_step(self.board, "unlearn") if self.board else lambda step: None
        return both(both(drawn, self._curves), everywhere) if rank() == 0 else everywhere

    def _curves(self, step: StepReport) -> None:
        """With the number of workers, which an elastic run changes."""
        self.curves(replace(step, values={**step.values, "workers": float(world_size())}))


def unlearn(plan: Plan, folder: RunFolder, curves: Curves, local: bool) -> None:
    """Run the unlearning, say where, and for how long its checkpoints stopped it."""
    _unlearn(plan, folder, curves, local)
    done = read_meta(folder.unlearned, verify=False)["result"]
    if done["checkpoints"]:
        each = done["checkpoint_seconds"] / done["checkpoints"]
        console.print(f"{done['checkpoints']} checkpoints, each stopped the run for {each:.2f} s", highlight=False)


def _unlearn(plan: Plan, folder: RunFolder, curves: Curves, local: bool) -> None:
    count = plan.config.workers.count
    if local:
        console.print("unlearn: in this process")
        preemption = LocalSignal()
        with bars() as drawn, on_sigterm(preemption):
            unlearn_here(plan, folder, bar_step(drawn, "unlearn"), curves, preemption)
        return
    kind = "a Ray task (one worker)" if count == 1 else f"Ray Train, {count} workers (start-up takes about 15 s)"
    console.print(f"unlearn: {kind}")
    noted = len(folder.notes)
    with ray_board() as board, on_sigterm(BoardSignal(board)):
        if count == 1:
            options = task_options(plan.config) | {"num_cpus": plan.config.workers.cpus}
            ray.get(_unlearn_task.options(**options).remote(plan, folder, curves, board))
        else:
            announce = ReportTaken(BoardSignal(board))
            train_workers(WorkerJob(plan, folder, curves, board), plan.config, folder, [announce])
    for line in folder.notes[noted:]:
        console.print(line, highlight=False)
