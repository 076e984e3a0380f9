"""A torch profiler trace of some steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch.profiler import profile, schedule

from cu_core.checkpoint import TrainState
from cu_core.dist import rank
from cu_core.files import atomic_file
from cu_core.types import StepReport
from cu_core.unlearn.loop import Loop, LoopResult, run_loop

SKIPPED, WARM_UP, TRACED = 1, 1, 3


def run_traced(loop: Loop, resume: TrainState | None, folder: Path | None) -> LoopResult:
    """Run the loop; with a folder, write a trace of its third to fifth step.

    The file is ``folder/trace-rank-N.json``, for Perfetto (https://ui.perfetto.dev) or chrome://tracing.

    Args:
        loop: The parts of the run.
        resume: State of a checkpoint to continue from.
        folder: Folder of the trace, or ``None`` for no trace.

    Returns:
        What the run did.
    """
    if folder is None:
        return run_loop(loop, resume)
    target = folder / f"trace-rank-{rank()}.json"

    def write(found: profile) -> None:
        with atomic_file(target) as partial:
            found.export_chrome_trace(str(partial))

    steps = schedule(wait=SKIPPED, warmup=WARM_UP, active=TRACED, repeat=1)
    with profile(schedule=steps, on_trace_ready=write, profile_memory=True) as tracer:

        def on_step(report: StepReport) -> None:
            loop.on_step(report)
            tracer.step()

        return run_loop(replace(loop, on_step=on_step), resume)
