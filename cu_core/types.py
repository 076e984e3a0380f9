"""The values that pass between the rooms of the library.

Shape letters: N rows, C classes, D embedding width, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

RequestKind = Literal["class", "sample"]


@dataclass(frozen=True)
class Batch:
    """Rows of one set, on one rank."""

    images: Tensor
    """uint8 (N, channels, H, W)."""
    labels: Tensor
    """int64 (N,)."""
    sample_ids: Tensor
    """int64 (N,)."""

    def __len__(self) -> int:
        return int(self.labels.shape[0])


@dataclass(frozen=True)
class UnlearnBatch:
    """What one step sees on one rank; either part may be empty."""

    forget: Batch
    retain: Batch


@dataclass(frozen=True)
class Outputs:
    """What every model returns."""

    embedding: Tensor
    """(N, D): the feature the classifier reads."""
    hidden: Tensor
    """(N, D'): a pooled feature from about three quarters of the depth."""
    logits: Tensor
    """(N, C)."""


@dataclass(frozen=True)
class Losses:
    """This rank's share of the step's loss: summed over ranks, the loss of the global batch."""

    total: Tensor
    """Scalar that is differentiated."""
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    """Named scalar shares for the record, without gradient."""


@dataclass(frozen=True)
class StepReport:
    """One finished step, summed over ranks."""

    step: int
    """Number of steps finished, from 1."""
    max_steps: int
    values: Mapping[str, float]
    """Loss terms, gradient norm, learning rate, and figures of the stop rule when it was judged."""


@dataclass(frozen=True)
class MetricResult:
    """A figure with its 95% interval (``low`` and ``high`` absent where none is defined) and sample size."""

    value: float
    count: int
    low: float | None = None
    high: float | None = None
