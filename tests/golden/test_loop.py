"""Whole runs of a few steps against the same arithmetic in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cu_core.methods.base import Method
from cu_core.methods.boundary_expanding import BoundaryExpanding
from cu_core.methods.finetune import FineTune
from cu_core.methods.l1_sparse import L1Sparse
from cu_core.methods.salun import SalUn
from cu_core.methods.scrub import Scrub
from cu_core.models.classifier import JointForward
from cu_core.types import StepReport
from cu_core.unlearn.loop import Loop, run_loop
from cu_core.unlearn.optim import OptimizerConfig
from tests.golden.plain_losses import Array, cross_entropy, kl
from tests.golden.tiny_model import CLASSES, EMBEDDING, SEEDS, Answers, Case, Gradients, answers, backward, weights_of
from tests.golden.tiny_split import preparation

STEPS = 6


class Stream:
    """Batches in a fixed order."""

    leaks, retain_served, seed, same_ids = 0, 0, 17, np.empty(0, np.int64)

    def __init__(self, case: Case):
        self.batches = [Case(1000 + 10 * case.seed + n).batch for n in range(STEPS)]
        self.split = preparation(case).split

    def prefetched(self, start: int, count: int) -> Any:
        return iter(self.batches[start:count])


class Plain:
    """What a method does in one step, on weights in NumPy."""

    def __init__(self, case: Case, stream: Stream):
        self.original, self.batches = weights_of(case.models[1]), stream.batches
        self.shadow = np.zeros(EMBEDDING + 1)

    def retain(self, step: int, weights: Gradients) -> tuple[Answers, Array]:
        batch = self.batches[step].retain
        seen = answers(weights, batch.images)
        return seen, cross_entropy(seen.logits, batch.labels.tolist())[1]

    def finetune(self, step: int, weights: Gradients, rate: float) -> Gradients:
        seen, gradient = self.retain(step, weights)
        return backward(weights, seen, {"logits": gradient})[0]

    def l1_sparse(self, step: int, weights: Gradients, rate: float) -> Gradients:
        found = self.finetune(step, weights, rate)
        return {n: g + 0.01 * (STEPS - step) / STEPS * np.sign(weights[n]) for n, g in found.items()}

    def scrub(self, step: int, weights: Gradients, rate: float) -> Gradients:
        """Steps 0 and 2 of six leave the teacher."""
        part = "forget" if step in (0, 2) else "retain"
        batch = self.batches[step].parts[part]
        seen, teacher = answers(weights, batch.images), answers(self.original, batch.images)
        _, gradient = kl(seen.logits, teacher.logits, 4.0)
        entropy = cross_entropy(seen.logits, batch.labels.tolist())[1]
        return backward(weights, seen, {"logits": -gradient if part == "forget" else 0.5 * gradient + entropy})[0]

    def boundary_expanding(self, step: int, weights: Gradients, rate: float) -> Gradients:
        seen = answers(weights, self.batches[step].forget.images)
        logits = np.column_stack([seen.logits, seen.embedding @ self.shadow[:-1] + self.shadow[-1]])
        _, gradient = cross_entropy(logits, [CLASSES] * len(logits))
        last = gradient[:, CLASSES]
        upstream = {"logits": gradient[:, :CLASSES], "embedding": np.outer(last, self.shadow[:-1])}
        self.shadow = self.shadow - rate * np.append(last @ seen.embedding, last.sum())
        return backward(weights, seen, upstream)[0]


METHODS: dict[str, Method] = {
    "finetune": FineTune(),
    "l1_sparse": L1Sparse(gamma=0.01),
    "scrub": Scrub(),
    "boundary_expanding": BoundaryExpanding(),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", METHODS)
def test_six_steps(seed: int, name: str) -> None:
    """Warm-up over one step of six, a cosine, momentum, weight decay and a clipped gradient."""
    case = Case(seed)
    stream, weights = Stream(case), weights_of(case.models[0])
    plain = Plain(case, stream)
    velocity = {n: np.zeros_like(w) for n, w in weights.items()}
    rates, norms = [], []
    for step in range(STEPS):
        rates.append(0.2 / 2 if step == 0 else 0.1 * (1 + math.cos(math.pi * (step - 1) / 5)))
        gradient = getattr(plain, name)(step, weights, rates[-1])
        norms.append(math.sqrt(sum(float((g**2).sum()) for g in gradient.values())))
        factor = min(1.0, 0.9 / (norms[-1] + 1e-6))
        for n in weights:
            velocity[n] = 0.7 * velocity[n] + factor * gradient[n] + 0.03 * weights[n]
            weights[n] = weights[n] - rates[-1] * velocity[n]
    config = OptimizerConfig(
        lr=0.2, momentum=0.7, weight_decay=0.03, schedule="cosine", warmup_frac=1 / 6, clip_norm=0.9
    )
    context, reports = case.context(), list[StepReport]()
    loop = Loop(
        model=case.models[0], forward=JointForward(case.models[0]), method=METHODS[name], stream=stream,  # type: ignore[arg-type]
        optimizer=config, max_steps=STEPS, reference=context.reference, on_step=reports.append,
    )  # fmt: skip
    result = run_loop(loop)
    assert result.steps == STEPS
    assert [r.values["learning_rate"] for r in reports] == pytest.approx(rates)
    assert [r.values["gradient_norm"] for r in reports] == pytest.approx(norms, rel=1e-9)
    for n, found in weights_of(case.models[0]).items():
        np.testing.assert_allclose(found, weights[n], rtol=1e-9, atol=1e-11, err_msg=n)


def test_masked_weights_stay_through_a_run() -> None:
    """SalUn's mask, of the original's gradient, holds in every step."""
    case = Case(0, "class")
    before = weights_of(case.models[0])
    stream, method, twin = Stream(case), SalUn(mask_frac=0.3), Case(0, "class")
    method.prepare(preparation(twin))
    masks = {n.removeprefix("mask."): m.numpy() for n, m in twin.state.items()}
    loop = Loop(
        model=case.models[0], forward=JointForward(case.models[0]), method=method, stream=stream,  # type: ignore[arg-type]
        optimizer=OptimizerConfig(lr=0.1), max_steps=STEPS,
    )  # fmt: skip
    run_loop(loop)
    for n, after in weights_of(case.models[0]).items():
        np.testing.assert_array_equal(after != before[n], masks[n], err_msg=n)
