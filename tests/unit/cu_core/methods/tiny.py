"""The smallest things a method can work on, so that its loss is arithmetic."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cu_core.methods.base import MethodState, Preparation, StepContext
from cu_core.types import Batch, Outputs, RequestKind, UnlearnBatch

LN3 = float(np.log(3.0))
"""Logits (LN3, 0) are the answer (3/4, 1/4)."""


def outputs(logits: list[list[float]], embedding: list[list[float]] | None = None) -> Outputs:
    values = torch.tensor(logits, requires_grad=True)
    feature = values if embedding is None else torch.tensor(embedding)
    return Outputs(feature, feature, values)


def batch(forget: list[int], retain: list[int]) -> UnlearnBatch:
    def part(labels: list[int]) -> Batch:
        return Batch(torch.zeros(len(labels), 1, 1, 1), torch.tensor(labels), torch.arange(len(labels)))

    return UnlearnBatch(part(forget), part(retain))


def context(
    *,
    step: int = 0,
    max_steps: int = 10,
    kind: RequestKind = "class",
    model: Any = None,
    reference: dict[str, Outputs] | None = None,
    untrained: dict[str, Outputs] | None = None,
    state: MethodState | None = None,
    learning_rate: float = 0.1,
    forget_classes: tuple[int, ...] = (),
    **out: Outputs,
) -> StepContext:
    """``out`` is what the model answers on each image set, whatever the images."""

    def answers(given: dict[str, Outputs]) -> Any:
        return lambda images: {name: given[name] for name in images}

    return StepContext(
        forward=answers(out),
        model=model,
        reference=answers(reference) if reference else None,
        untrained=answers(untrained) if untrained else None,
        request_kind=kind,
        forget_classes=forget_classes,
        num_classes=2,
        seed=0,
        step=step,
        max_steps=max_steps,
        learning_rate=learning_rate,
        state={} if state is None else state,
    )


class Linear(nn.Module):
    """logits = W (pixels / 100); the pixels are the embedding."""

    tokenize = None

    def __init__(self, weight: list[list[float]]):
        super().__init__()
        self.body = nn.Linear(len(weight[0]), len(weight))
        with torch.no_grad():
            self.body.weight.copy_(torch.tensor(weight))
            self.body.bias.zero_()

    def preprocess(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        return images.flatten(1).to(dtype) / 100

    def forward(self, images: Tensor) -> Outputs:
        x = self.preprocess(images)
        return Outputs(x, x, self.body(x))


def preparation(
    model: Any, pixels: list[list[float]], labels: list[int], forget: list[int], untrained: Any = None
) -> Preparation:
    """Rows with one line of pixels each; those numbered in ``forget`` are the forget set, of the classes they have."""
    images = torch.tensor(pixels).view(len(pixels), 1, 1, -1)
    reader = SimpleNamespace(
        images=lambda split, rows: images[rows],
        labels=lambda split, rows: np.array(labels)[rows],
        sample_ids=lambda split, rows: np.asarray(rows) + 100,
        manifest=SimpleNamespace(num_classes=len(set(labels))),
    )
    rows = np.array(forget)
    retain = np.setdiff1d(np.arange(len(labels)), rows)
    split: Any = SimpleNamespace(
        reader=reader,
        forget=SimpleNamespace(rows=rows, classes=tuple(sorted({labels[r] for r in forget}))),
        num_retain=len(retain),
        retain_rows=lambda ordinals: retain[ordinals],
    )
    return Preparation(model, untrained, split, 0, {})
