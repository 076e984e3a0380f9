"""A float64 model of three linear layers with its backward pass written by hand, and the batches it sees.

N rows, P pixels, H hidden width, D embedding width, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cu_core.methods.base import Method, MethodState, StepContext
from cu_core.models.classifier import Classifier, JointForward
from cu_core.models.preprocess import Preprocess
from cu_core.types import Batch, Losses, Outputs, RequestKind, UnlearnBatch
from tests.golden.plain_losses import Array

CLASSES, SIDE, HIDDEN, EMBEDDING = 5, 3, 6, 4
MEAN, STD = 0.4, 0.3
SEEDS = (0, 1, 2)
Gradients = dict[str, Array]
Upstream = Mapping[str, Mapping[str, Array]]
"""By image set: gradients of the loss with respect to ``hidden``, ``embedding`` and ``logits``."""
LABELS: dict[RequestKind, tuple[list[int], list[int]]] = {
    # No retain row has class 4, so the fifth anchor has no positive; three retain rows share no class with an anchor.
    "sample": ([0, 1, 1, 3, 4, 0, 3], [2, 0, 1, 3, 3, 0, 2, 1, 1, 3, 2]),
    "class": ([1, 3, 3, 1, 3], [0, 2, 4, 4, 2, 2, 0, 4]),
}
"""Labels of forget and retain rows."""


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.flat, self.first, self.hidden = nn.Flatten(), nn.Linear(SIDE * SIDE, HIDDEN), nn.Tanh()
        self.embed, self.head = nn.Linear(HIDDEN, EMBEDDING), nn.Linear(EMBEDDING, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(self.hidden(self.first(self.flat(x)))))


def tiny(seed: int) -> Classifier:
    model = Classifier(Body(), "embed", "hidden", Preprocess(SIDE, (MEAN,), (STD,))).double()
    draw = np.random.default_rng([seed, 1])
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.from_numpy(draw.normal(size=tuple(p.shape)) * 0.8))
    return model


def weights_of(model: nn.Module) -> Gradients:
    return {name: p.detach().numpy().copy() for name, p in model.named_parameters()}


@dataclass(frozen=True)
class Answers:
    """What the model makes of N images."""

    pixels: Array
    hidden: Array
    embedding: Array
    logits: Array


def answers(weights: Gradients, images: Tensor) -> Answers:
    w = {name.removeprefix("body."): value for name, value in weights.items()}
    pixels = (images.reshape(len(images), -1).numpy().astype(np.float64) / 255 - MEAN) / STD
    hidden = np.tanh(pixels @ w["first.weight"].T + w["first.bias"])
    embedding = hidden @ w["embed.weight"].T + w["embed.bias"]
    return Answers(pixels, hidden, embedding, embedding @ w["head.weight"].T + w["head.bias"])


def backward(weights: Gradients, seen: Answers, upstream: Mapping[str, Array]) -> tuple[Gradients, Array]:
    """(gradients of all weights, gradient of the normalised pixels)."""
    given = {n: upstream.get(n, np.zeros_like(getattr(seen, n))) for n in ("hidden", "embedding", "logits")}
    logits = given["logits"]
    embedding = given["embedding"] + logits @ weights["body.head.weight"]
    hidden = given["hidden"] + embedding @ weights["body.embed.weight"]
    inner = hidden * (1 - seen.hidden**2)
    layers = {"head": (logits, seen.embedding), "embed": (embedding, seen.hidden), "first": (inner, seen.pixels)}
    found = {f"body.{n}.weight": out.T @ into for n, (out, into) in layers.items()}
    found |= {f"body.{n}.bias": out.sum(0) for n, (out, _) in layers.items()}
    return found, inner @ weights["body.first.weight"]


def rows(labels: Sequence[int], seed: int, first_id: int = 0) -> Batch:
    draw = np.random.default_rng([seed, first_id, 2])
    images = torch.from_numpy(draw.integers(256, size=(len(labels), 1, SIDE, SIDE), dtype=np.uint8))
    ids = first_id + 3 * torch.from_numpy(draw.permutation(len(labels)))
    return Batch(images, torch.tensor(list(labels)), ids)


@dataclass(frozen=True)
class Case:
    """Three models and a batch, drawn from a seed."""

    seed: int
    kind: RequestKind = "sample"
    step: int = 0
    max_steps: int = 10
    learning_rate: float = 0.1
    state: MethodState = field(default_factory=dict)
    models: list[Classifier] = field(default_factory=list)
    """The model, the original and the untrained one."""
    batch: UnlearnBatch = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        forget, retain = LABELS[self.kind]
        if not self.models:
            self.models.extend(tiny(100 * self.seed + n) for n in range(3))
        if self.batch is None:
            parts = rows(forget, self.seed, 40), rows(retain, self.seed, 500)
            object.__setattr__(self, "batch", UnlearnBatch(*parts))

    @property
    def forget_classes(self) -> tuple[int, ...]:
        return tuple(sorted(set(LABELS["class"][0]))) if self.kind == "class" else ()

    def at(self, **changes: Any) -> Case:
        return replace(self, **changes)

    def context(self, rounded: bool = False) -> StepContext:
        frozen = [torch.no_grad()(JointForward(m)) for m in self.models[1:]]
        forward = JointForward(self.models[0])
        return StepContext(
            forward=_rounding(forward) if rounded else forward,
            model=self.models[0],
            reference=frozen[0],
            untrained=frozen[1],
            request_kind=self.kind,
            forget_classes=self.forget_classes,
            num_classes=CLASSES,
            seed=17,
            step=self.step,
            max_steps=self.max_steps,
            learning_rate=self.learning_rate,
            state=self.state,
        )

    def seen(self, part: str, model: int = 0) -> Answers:
        return answers(weights_of(self.models[model]), self.batch.parts[part].images)

    def labels(self, part: str) -> list[int]:
        found: list[int] = self.batch.parts[part].labels.tolist()
        return found


def _rounding(forward: JointForward) -> Callable[[Any], dict[str, Outputs]]:
    """The same answers as mixed precision gives them."""

    def call(images: Any) -> dict[str, Outputs]:
        parts = forward(images).items()
        return {n: Outputs(*(x.bfloat16() for x in (o.embedding, o.hidden, o.logits))) for n, o in parts}

    return call


def round_to_bfloat16(seen: Answers) -> Answers:
    def rounded(x: Array) -> Array:
        return torch.from_numpy(x).bfloat16().double().numpy()

    return Answers(seen.pixels, rounded(seen.hidden), rounded(seen.embedding), rounded(seen.logits))


def run(method: Method, case: Case) -> tuple[Losses, Gradients]:
    """The method's loss and the gradients of all weights."""
    model, context = case.models[0], case.context()
    model.zero_grad()
    losses = method.losses(context, case.batch)
    losses.total.backward()
    zero = {n: np.zeros(tuple(p.shape)) for n, p in model.named_parameters()}
    return losses, {n: zero[n] if p.grad is None else p.grad.numpy().copy() for n, p in model.named_parameters()}


def expected(case: Case, upstream: Upstream, images: Mapping[str, Tensor] | None = None) -> Gradients:
    weights = weights_of(case.models[0])
    total = {n: np.zeros_like(w) for n, w in weights.items()}
    for name, given in upstream.items():
        seen = answers(weights, (images or {}).get(name, getattr(case.batch.parts.get(name), "images", None)))
        for weight, gradient in backward(weights, seen, given)[0].items():
            total[weight] += gradient
    return total


def same(found: Gradients, wanted: Gradients) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-11, err_msg=name)


def check(method: Method, case: Case, loss: float, upstream: Upstream) -> Losses:
    """Loss and every gradient are the given ones, to 1e-10."""
    losses, found = run(method, case)
    np.testing.assert_allclose(losses.total.item(), loss, rtol=1e-10)
    np.testing.assert_allclose(losses.terms["loss"].item(), loss, rtol=1e-10)
    same(found, expected(case, upstream))
    return losses


def check_rounded(method: Method, case: Case, loss: float) -> None:
    """Of half-precision answers the loss is computed in float32; ``loss`` is that of the rounded answers."""
    total = method.losses(case.context(rounded=True), case.batch).total
    assert total.dtype == torch.float32
    np.testing.assert_allclose(total.item(), loss, rtol=2e-6)
