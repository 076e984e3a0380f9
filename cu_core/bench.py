"""Time and memory of an unlearning step, measured in a process of its own for every batch size."""

from __future__ import annotations

import copy
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F

from cu_core.config import RunConfig
from cu_core.data.forget_split import ForgetSplit, RowLimits
from cu_core.data.loader import UnlearnStream
from cu_core.data.requests import resolve_request
from cu_core.errors import UserError
from cu_core.models.batch_norm import set_batch_norm
from cu_core.run import Hooks, fresh_model, over_workers, prepare_towers
from cu_core.types import StepReport
from cu_core.unlearn.loop import Loop, frozen, run_loop
from cu_core.unlearn.optim import build_optimizer
from cu_core.workspace import Workspace

LINUX = Path("/proc/self/status")
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class StepCost:
    """Cost of a step with one batch size."""

    batch: int
    """Forget rows, and as many retain rows, of a step."""
    rows: int
    """Rows of a step that pass through the trained model."""
    seconds: float
    """Median over steps, the first left out."""
    plain: float | None
    """Median over steps of the seconds of a plain training step on as many rows, which follows each step, divided by
    those of the step; absent for image-text models."""
    peak_bytes: int
    """Most memory above that of the loaded model: on a GPU allocated tensors, on a CPU the process."""
    threads: int
    device: str


def fresh_loop(config: RunConfig, hooks: Hooks, steps: int) -> Loop:
    """Build a loop over real rows, from fresh weights, that writes nothing.

    Args:
        config: Configuration of the run.
        hooks: Device, wrapping and callbacks.
        steps: Number of steps.

    Returns:
        The loop, not yet run.
    """
    reader = Workspace(config).reader
    forget = resolve_request(config.request, reader, config.model.reads_captions)
    split = ForgetSplit(
        reader,
        forget,
        seed=config.seed,
        limits=RowLimits(config.audit.stop_rows, 1),
        retain_shards=config.data.retain_shards,
    )
    model = fresh_model(config, reader, config.seed)
    needs = config.method.needs()
    reference = frozen(copy.deepcopy(model).to(hooks.device)) if "frozen original" in needs else None
    untrained = fresh_model(config, reader, 1).to(hooks.device) if "untrained model" in needs else None
    set_batch_norm(model, config.batch_norm)
    prepare_towers(model, config.trainable, config.workers.recompute)
    model.to(hooks.device)
    return Loop(
        model=model,
        forward=over_workers(model, config.workers.shard, hooks),
        method=config.method,
        optimizer=config.optimizer,
        stream=UnlearnStream(split, config.batches_for(reader.manifest.num_classes), config.seed, model.tokenize),
        max_steps=steps,
        reference=reference,
        untrained=untrained,
        autocast=config.workers.precision == "bfloat16",
        on_step=hooks.on_step,
    )


def speeds(config: RunConfig, hooks: Hooks, steps: int) -> tuple[list[dict[str, float]], int]:
    """Measure where the time of each step goes on this rank.

    Args:
        config: Configuration of the run.
        hooks: Device, wrapping and callbacks; ``on_step`` is replaced.
        steps: Number of measured steps. A first step is run and left out.

    Returns:
        Times of each step, and the most memory (bytes) used in the steps, weights included, above what the process held
        before there was a model.
    """
    found: list[dict[str, float]] = []
    before = peak_memory(hooks.device, reset=True)
    loop = fresh_loop(config, replace(hooks, on_step=lambda report: found.append(dict(report.speed))), steps + 1)
    peak_memory(hooks.device, reset=True)
    run_loop(loop)
    return found[1:], peak_memory(hooks.device) - before


def measure(config: RunConfig, steps: int) -> StepCost:
    """Measure the whole step on real rows: loading, forward, backward, update.

    After each step of a classifier, a plain training step on as many rows is measured in the same process.

    Args:
        config: Configuration of the run.
        steps: Number of measured steps. A first step is run and left out.

    Returns:
        The cost of one step.
    """
    device = torch.device("cuda" if config.workers.gpu else "cpu")
    times: list[float] = []
    ratios: list[float] = []
    plain = None if config.model.reads_captions else _PlainTraining(config, device)
    began = time.perf_counter()

    def on_step(report: StepReport) -> None:
        nonlocal began
        times.append(_now(device) - began)
        if plain is not None:
            before = time.perf_counter()
            plain.step()
            ratios.append((_now(device) - before) / times[-1])
        began = time.perf_counter()

    loop = fresh_loop(config, Hooks(device=device, on_step=on_step), steps + 1)
    before = peak_memory(device, reset=True)
    done = run_loop(loop)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return StepCost(
        batch=config.batches.retain_batch,
        rows=done.trained_rows // done.steps,
        seconds=median(times[1:]),
        plain=median(ratios[1:]) if ratios else None,
        peak_bytes=peak_memory(device) - before,
        threads=torch.get_num_threads(),
        device=name,
    )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class _PlainTraining:
    """A training step as any trainer has it, on as many rows as an unlearning step: cross-entropy on retain rows."""

    def __init__(self, config: RunConfig, device: torch.device):
        reader = Workspace(config).reader
        forget = resolve_request(config.request, reader)
        limits = RowLimits(config.audit.stop_rows, 1)
        split = ForgetSplit(reader, forget, seed=config.seed, limits=limits, retain_shards=config.data.retain_shards)
        rows = min(config.batches.forget_batch, len(forget.rows)) + config.batches.retain_batch
        batches = replace(config.batches, forget_batch=0, retain_batch=rows, retain_sampling="uniform")
        self.batches = UnlearnStream(split, batches, config.seed).prefetched(0, sys.maxsize)
        self.model = fresh_model(config, reader, config.seed).to(device).train()
        self.optimizer = build_optimizer(self.model.parameters(), config.optimizer)
        self.device, self.mixed = device, config.workers.precision == "bfloat16"

    def step(self) -> None:
        batch = next(self.batches).retain.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            logits = self.model(batch.images).logits
        F.cross_entropy(logits.float(), batch.labels).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def peak_memory(device: torch.device, reset: bool = False) -> int:
    """Return the most memory (bytes) used so far: of tensors on a GPU, else of this process.

    Args:
        device: The device.
        reset: Whether measuring begins anew.
    """
    if device.type == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated()
    if LINUX.is_file():  # a fresh process inherits its parent's peak, unless it is told to forget it
        if reset:
            LINUX.with_name("clear_refs").write_text("5")
        (line,) = [text for text in LINUX.read_text().splitlines() if text.startswith("VmHWM")]
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT


def bench(config: RunConfig, batches: Sequence[int], steps: int) -> Iterator[StepCost]:
    """Measure one batch size after the other, each in a fresh process so that memory peaks do not mix.

    Args:
        config: Configuration of the run.
        batches: Batch sizes: forget rows, and as many retain rows, of a step.
        steps: Number of measured steps.

    Yields:
        The cost of one step for each batch size.

    Raises:
        UserError: There are no steps or batches, or the method takes no steps.
    """
    if steps < 1 or not batches or min(batches) < 1:
        raise UserError("--steps and every --batch must be at least 1.")
    if config.method.closed_form:
        raise UserError(f"method.name={config.method.name} takes no steps: there is nothing to measure.")
    for batch in batches:
        sizes = replace(config.batches, forget_batch=batch, retain_batch=batch)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            yield pool.submit(measure, replace(config, batches=sizes), steps).result()
