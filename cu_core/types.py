"""Types that pass between the packages of the library.

Shape letters: N rows, C classes, D embedding width, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # seconds to import, which commands that only read need not pay
    import torch
    from torch import Tensor

RequestKind = Literal["class", "sample"]
Word = Literal["indistinguishable", "under-forgotten", "over-forgotten", "inconclusive"]
"""What a verdict says."""
Interpolation = Literal["bilinear", "bicubic"]
"""Filter with which images are resized."""
Tokenize = Callable[[Sequence[str]], "Tensor"]
"""Texts -> int64 (M, L), padded or cut to the model's length."""
TEXTS = "texts"
"""``forget texts`` are the captions of ``forget``, wherever sets have names."""


@dataclass(frozen=True)
class Batch:
    """Rows of one set, on one rank."""

    images: Tensor
    """uint8 (N, channels, H, W)."""
    labels: Tensor
    """int64 (N,)."""
    sample_ids: Tensor
    """int64 (N,)."""
    tokens: Tensor | None = None
    """int64 (N, L): a caption of each row, for models that read captions."""

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def inputs(self, name: str) -> dict[str, Tensor]:
        """Return what a model reads of these rows: images, and captions if there are any."""
        texts = {} if self.tokens is None else {f"{name} {TEXTS}": self.tokens}
        return {name: self.images, **texts}

    def to(self, device: torch.device) -> Batch:
        """Copy the batch to a device."""
        images, labels, ids = (x.to(device, non_blocking=True) for x in (self.images, self.labels, self.sample_ids))
        return Batch(images, labels, ids, None if self.tokens is None else self.tokens.to(device, non_blocking=True))


@dataclass(frozen=True)
class UnlearnBatch:
    """Rows of one step on one rank; either part may be empty."""

    forget: Batch
    retain: Batch

    @property
    def parts(self) -> dict[str, Batch]:
        """The two sets by name."""
        return vars(self)

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What a model reads of both sets."""
        return self.forget.inputs("forget") | self.retain.inputs("retain")


@dataclass(frozen=True)
class Outputs:
    """Outputs of a model."""

    embedding: Tensor
    """(N, D): the feature the classifier reads."""
    hidden: Tensor
    """(N, D'): a pooled feature from about three quarters of the depth."""
    logits: Tensor
    """(N, C); of captions (N, 0)."""
    scale: Tensor | None = None
    """Image-text models: factor of cosines in logits."""
    bias: Tensor | None = None
    """What is added to them, where the model was trained with the sigmoid loss."""


@dataclass(frozen=True)
class Losses:
    """This rank's share of the step's loss; summed over ranks it is the loss of the global batch."""

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
    speed: Mapping[str, float] = field(default_factory=dict)
    """Rows a second of all ranks; this rank's seconds by part of the step, bytes handed to collectives, GPU memory."""


@dataclass(frozen=True)
class MetricResult:
    """A figure with its 95% interval (``low`` and ``high`` are ``None`` where none is defined) and sample size."""

    value: float
    count: int
    low: float | None = None
    high: float | None = None
