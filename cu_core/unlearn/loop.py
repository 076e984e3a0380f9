"""The loop: unlearning, training, the oracle, rebound and relearning all run here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cu_core.checkpoint import TrainState, copy_weights
from cu_core.data.loader import UnlearnStream
from cu_core.dist import global_counts, rank, sum_over_ranks, world_size
from cu_core.errors import NonFiniteError
from cu_core.methods.base import Method, MethodState, Preparation, StepContext
from cu_core.models.classifier import Classifier, Forward, ImageSets, JointForward
from cu_core.sharded_state import load_parts
from cu_core.sharding import (
    average_whole_gradients,
    gathered,
    is_part,
    load_optimizer,
    load_whole,
    optimizer_state,
    whole,
)
from cu_core.types import TEXTS, Losses, Outputs, StepReport, UnlearnBatch
from cu_core.unlearn.clock import StepClock
from cu_core.unlearn.kept_answers import KeptAnswers
from cu_core.unlearn.optim import (
    OptimizerConfig,
    build_optimizer,
    gradient_norm,
    learning_rate,
    set_learning_rate,
)
from cu_core.unlearn.stopping import Stopper

WANTED = "checkpoint wanted"


@dataclass(frozen=True, kw_only=True)
class Loop:
    """One run, built from plain parts."""

    model: Classifier
    forward: Forward
    """The model behind its data-parallel wrapper."""
    method: Method
    stream: UnlearnStream
    optimizer: OptimizerConfig
    max_steps: int
    stopper: Stopper | None = None
    reference: Forward | None = None
    """The frozen original."""
    untrained: Classifier | None = None
    autocast: bool = False
    """bfloat16 mixed precision."""
    checkpoint_every: int = 0
    on_step: Callable[[StepReport], None] = lambda report: None
    save: Callable[[TrainState], None] = lambda state: None
    wants_checkpoint: Callable[[], bool] = lambda: False
    """Polled at every step on every rank; if any rank returns true, all ranks save a checkpoint."""


@dataclass
class LoopResult:
    """Counts and state of a finished run."""

    steps: int = 0
    seconds: float = 0.0
    forget_rows: int = 0
    """Forget rows (and what a method puts in their place) forwarded in training steps, over all ranks."""
    retain_rows: int = 0
    frozen_rows: int = 0
    """Rows whose answers by frozen models were used in training steps; those of forget rows are computed once."""
    prepare_rows: int = 0
    """Training rows that the method forwarded before the first step."""
    checkpoints: int = 0
    checkpoint_seconds: float = 0.0
    """Time in which training stood still for checkpoints."""
    stop: dict[str, Any] = field(default_factory=dict)
    """State of the stop rule; empty without one."""
    leaks: int = 0
    retain_ids_checked: int = 0

    @property
    def trained_rows(self) -> int:
        """Rows forwarded through the trained model in its steps, over all ranks."""
        return self.forget_rows + self.retain_rows


def run_loop(loop: Loop, resume: TrainState | None = None) -> LoopResult:
    """Train; the model ends with the last weights, or with those that the stop rule kept.

    Args:
        loop: The parts of the run.
        resume: State of a checkpoint to continue from.

    Returns:
        What the run did.

    Raises:
        NonFiniteError: A loss, gradient or weight is not finite.
        LeakError: A forget row reached the retain stream.
    """
    device = next(loop.model.parameters()).device
    optimizer = build_optimizer(loop.model.parameters(), loop.optimizer)
    state: MethodState = {}
    result = LoopResult()
    max_steps = 1 if loop.method.closed_form else loop.max_steps
    if resume is not None:
        _restore(loop, optimizer, state, result, resume)
    else:
        _begin(loop, state, result)
    loop.model.train()
    began = time.perf_counter() - result.seconds
    clock = StepClock(device)
    answers = _frozen_models(loop)

    for step, host_batch in enumerate(loop.stream.prefetched(result.steps, max_steps), result.steps):
        batch = _to_device(host_batch, device)
        clock.lap("data")
        before = result.trained_rows
        answered = {name: one.of(host_batch.forget.sample_ids.numpy()) for name, one in answers.items()}
        values = {} if loop.method.closed_form else _step(loop, optimizer, (state, answered), result, batch, clock)
        asked = values.pop(WANTED, 0.0) > 0
        result.steps = step + 1
        if loop.stopper is not None and loop.stopper.due(result.steps, max_steps):
            check = loop.stopper.judge(loop.model, result.steps)
            values |= {"stop_forget": check.forget, "stop_target": check.target, "stop_utility": check.utility}
            clock.lap("stop_check")
        result.seconds = time.perf_counter() - began
        loop.on_step(StepReport(result.steps, max_steps, values, clock.read(result.trained_rows - before)))
        if loop.stopper is not None and loop.stopper.finished(result.steps):
            break
        due = asked or (loop.checkpoint_every and result.steps % loop.checkpoint_every == 0)
        if due and result.steps < max_steps:
            _checkpoint(loop, optimizer, state, result)
        clock.restart()
    _finish(loop, result)
    return result


def _begin(loop: Loop, state: MethodState, result: LoopResult) -> None:
    """Do what precedes the first step: the first check of the stop rule, and the method's preparation."""
    began = time.perf_counter()
    if loop.stopper is not None and loop.stopper.config.rule != "none":
        loop.stopper.judge(loop.model, 0)
    result.prepare_rows = _prepare(loop, state)
    result.seconds = time.perf_counter() - began


def _prepare(loop: Loop, state: MethodState) -> int:
    """Run the method's preparation; return the rows forwarded over all ranks."""
    loop.model.eval()
    with gathered(loop.model):
        rows = loop.method.prepare(Preparation(loop.model, loop.untrained, loop.stream.split, loop.stream.seed, state))
    return global_counts(rows, device=next(loop.model.parameters()).device)[0]


def _frozen_models(loop: Loop) -> dict[str, KeptAnswers]:
    """Return the models of the run that do not change."""
    models = {"reference": loop.reference, "untrained": frozen(loop.untrained) if loop.untrained else None}
    ids = loop.stream.same_ids
    return {name: KeptAnswers(forward, ids) for name, forward in models.items() if forward is not None}


def _step(
    loop: Loop,
    optimizer: torch.optim.Optimizer,
    known: tuple[MethodState, Mapping[str, Forward]],
    result: LoopResult,
    batch: UnlearnBatch,
    clock: StepClock,
) -> dict[str, float]:
    """Update the weights once; return the values to report, summed over ranks.

    The host waits for the device once: after the backward pass, before an update that must be finite.
    """
    step = result.steps
    set_learning_rate(optimizer, rate := learning_rate(loop.optimizer, step, loop.max_steps))
    rows = dict.fromkeys(("forget_rows", "retain_rows", "frozen_rows"), 0)
    context = _context(loop, known, step, rate, rows)
    losses = loop.method.losses(context, batch)
    clock.lap("forward")
    # Data-parallel wrappers average gradients over ranks; the share times the world size makes that a sum.
    (losses.total * world_size()).backward()  # type: ignore[no-untyped-call]
    average_whole_gradients(loop.model.parameters())
    clock.lap("backward")
    loop.method.edit_gradients(context)
    norm = gradient_norm(loop.model.parameters(), loop.optimizer.clip_norm)
    values = _shared_values(losses, norm, rows | {WANTED: int(loop.wants_checkpoint())})
    _check_finite(values, step)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    clock.lap("update")
    for name in rows:
        setattr(result, name, getattr(result, name) + round(values.pop(name)))
    return values | {"learning_rate": rate}


def _context(
    loop: Loop, known: tuple[MethodState, Mapping[str, Forward]], step: int, rate: float, rows: dict[str, int]
) -> StepContext:
    """Build what the method may read in a step; its forward passes are counted into ``rows``."""
    split, (state, answers) = loop.stream.split, known
    models = {name: _counted(loop, forward, rows, "frozen_rows") for name, forward in answers.items()}
    return StepContext(
        forward=_counted(loop, loop.forward, rows),
        model=loop.model,
        reference=models.get("reference"),
        untrained=models.get("untrained"),
        request_kind=split.forget.kind,
        forget_classes=split.forget.classes,
        num_classes=split.reader.manifest.num_classes,
        seed=loop.stream.seed,
        step=step,
        max_steps=loop.max_steps,
        learning_rate=rate,
        state=state,
    )


def frozen(model: Classifier) -> Forward:
    """Return the forward pass of a model in evaluation mode, without gradient; its weights are frozen in place."""
    return torch.no_grad()(JointForward(model.eval().requires_grad_(False)))


def _counted(loop: Loop, forward: Forward, rows: dict[str, int], name: str | None = None) -> Forward:
    """Wrap a forward pass so that it counts its rows and, if the run asks for it, uses mixed precision.

    Losses are never in mixed precision. Rows are added to ``rows[name]``; without ``name``, by the name of each image
    set.
    """
    device = next(loop.model.parameters()).device.type

    def call(images: ImageSets) -> dict[str, Outputs]:
        for part, values in images.items():
            if part.endswith(TEXTS):
                continue
            rows[name or ("retain_rows" if part == "retain" else "forget_rows")] += len(values)
        with torch.autocast(device, torch.bfloat16, enabled=loop.autocast):
            return forward(images)

    return call


def _to_device(batch: UnlearnBatch, device: torch.device) -> UnlearnBatch:
    return UnlearnBatch(batch.forget.to(device), batch.retain.to(device))


def _shared_values(losses: Losses, norm: Tensor, rows: Mapping[str, int]) -> dict[str, float]:
    """Sum terms and row counts over ranks, in one collective, and read them and the norm of the gradient at once."""
    values = [t.to(losses.total)[None] for t in losses.terms.values()]
    if world_size() > 1:
        counts = torch.tensor([float(n) for n in rows.values()]).to(losses.total)
        values = [sum_over_ranks(torch.cat([*values, counts]))]
    *found, last = torch.cat([*values, norm.detach().to(losses.total)[None]]).tolist()
    named = dict(zip([*losses.terms, *rows], found, strict=False))  # on one process the counts are known
    return {name: float(n) for name, n in rows.items()} | named | {"gradient_norm": last}


def _check_finite(values: Mapping[str, float], step: int) -> None:
    bad = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise NonFiniteError(
            f"step {step + 1}: {', '.join(bad)}; the weights were not updated. "
            f"Lower optimizer.lr, set optimizer.clip_norm or raise method.temperature."
        )


def _checkpoint(loop: Loop, optimizer: torch.optim.Optimizer, state: MethodState, result: LoopResult) -> None:
    """Save the state, and measure for how long training stands still."""
    began = time.perf_counter()
    loop.save(_snapshot(loop, optimizer, state, result))
    result.checkpoints += 1
    result.checkpoint_seconds += time.perf_counter() - began


def _snapshot(loop: Loop, optimizer: torch.optim.Optimizer, state: MethodState, result: LoopResult) -> TrainState:
    _count_ids(loop, result)
    progress = {"result": vars(result), "stop": loop.stopper.state_dict() if loop.stopper else None}
    weights = loop.model.state_dict()
    return TrainState(
        step=result.steps,
        model=weights if any(map(is_part, weights.values())) else copy_weights(weights),
        optimizer=optimizer_state(loop.model, optimizer),
        method=dict(state),
        rng=torch.get_rng_state(),
        progress=progress,
        kept=loop.stopper.kept if loop.stopper else None,
    )


def _restore(
    loop: Loop, optimizer: torch.optim.Optimizer, state: MethodState, result: LoopResult, saved: TrainState
) -> None:
    kept = saved.kept
    if saved.parts is not None:
        kept = load_parts(saved.parts, loop.model, optimizer)
    else:
        load_whole(loop.model, saved.model)
        load_optimizer(loop.model, optimizer, saved.optimizer)
    state.update({k: v.to(next(loop.model.parameters()).device) for k, v in saved.method.items()})
    torch.set_rng_state(saved.rng)
    vars(result).update(saved.progress["result"])
    if rank() == 0:
        loop.stream.leaks, loop.stream.retain_served = result.leaks, result.retain_ids_checked
    if loop.stopper is not None:
        loop.stopper.load_state_dict(saved.progress["stop"], kept)


def _count_ids(loop: Loop, result: LoopResult) -> None:
    counts = torch.tensor([loop.stream.leaks, loop.stream.retain_served])
    counts = sum_over_ranks(counts.to(next(loop.model.parameters()).device))
    result.leaks, result.retain_ids_checked = (int(c) for c in counts.tolist())


def _finish(loop: Loop, result: LoopResult) -> None:
    _count_ids(loop, result)
    if loop.stopper is not None:
        result.stop = loop.stopper.state_dict()
        if loop.stopper.kept is not None:
            load_whole(loop.model, loop.stopper.kept)
    loop.model.eval()
    if not all(bool(torch.isfinite(whole(p.detach())).all()) for p in loop.model.parameters()):
        raise NonFiniteError(f"step {result.steps}: weights are not finite after the last update.")
