"""Base class of methods: the loss of one step, and the preparation before the first step.

Order, ranks, stopping, resuming, tracking and the audit belong to the loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from cu_core.data.forget_split import ForgetSplit
from cu_core.data.order import Rows
from cu_core.data.schema import Split
from cu_core.data.texts import load_batch
from cu_core.dist import rank_slice
from cu_core.errors import UserError
from cu_core.models.classifier import Classifier, Forward
from cu_core.types import Batch, Losses, RequestKind, UnlearnBatch

MethodState = dict[str, Tensor]
ModelKind = Literal["classifier", "image-text"]
EVERY_MODEL: tuple[ModelKind, ...] = ("classifier", "image-text")
Need = Literal["forget rows", "retain rows", "labels", "frozen original", "untrained model"]
BOTH: tuple[RequestKind, ...] = ("class", "sample")
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class StepContext:
    """What a method may read in a step besides the batch."""

    forward: Forward
    """The model being changed, behind its data-parallel wrapper; call it at most once a step."""
    model: Classifier
    """The same model bare, for penalties on weights and for their gradients."""
    reference: Forward | None
    """The frozen original, without gradient, where the method needs it."""
    untrained: Forward | None
    """The model before any training, without gradient, where the method needs it."""
    request_kind: RequestKind
    forget_classes: tuple[int, ...]
    """Classes of a class request; empty for samples."""
    num_classes: int
    seed: int
    step: int
    """Number of the step, from 0."""
    max_steps: int
    learning_rate: float
    state: MethodState
    """The method's own tensors; part of every checkpoint, equal on every rank. Change the dict in place."""

    @property
    def progress(self) -> float:
        """Fraction of the run that is done, in [0, 1)."""
        return self.step / self.max_steps


@dataclass(frozen=True)
class Preparation:
    """What a method may use once, before the first step, while ``model`` is still the original."""

    model: Classifier
    """In evaluation mode; may be changed in place, on every rank alike."""
    untrained: Classifier | None
    split: ForgetSplit
    seed: int
    state: MethodState

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    @property
    def num_classes(self) -> int:
        """Number of classes of the data set."""
        return self.split.reader.manifest.num_classes

    def batches(self, rows: Rows, split: Split = "train") -> Iterator[Batch]:
        """Yield this rank's slice of the rows, ``ROWS_AT_ONCE`` at a time."""
        reader, mine = self.split.reader, rows[rank_slice(len(rows))]
        for start in range(0, len(mine), ROWS_AT_ONCE):
            part = mine[start : start + ROWS_AT_ONCE]
            yield load_batch(reader, split, part, self.model.tokenize).to(self.device)


class Method(ABC):
    """Base class of methods: a frozen dataclass of settings; a subclass must define ``name`` and ``losses``."""

    __pydantic_config__ = {"use_attribute_docstrings": True}
    name: str
    source: ClassVar[str]
    """Paper and equations."""
    kinds: ClassVar[tuple[RequestKind, ...]] = BOTH
    """Requests that it can answer."""
    models: ClassVar[tuple[ModelKind, ...]] = ("classifier",)
    """Models that it can change."""
    needs_classes: ClassVar[bool] = True
    """Whether it tells rows apart by their class; pairs may have none."""
    image_tower_only: ClassVar[bool] = False
    """Whether it has no gradient for the text tower of an image-text model."""
    whole_weights: ClassVar[bool] = False
    """Whether it reads or changes weights or their gradients one by one, or has a backward pass of its own before the
    first step; weights then cannot be spread over workers."""
    control: ClassVar[bool] = False
    """Whether it is a control: not meant to unlearn, it shows in a comparison what a figure cannot detect, and never
    ranks best."""
    closed_form: ClassVar[bool] = False
    """Whether ``prepare`` makes the whole change (``ClosedForm``); the run then takes one step without a loss."""

    def needs(self) -> frozenset[Need]:
        """Return what the method must be given."""
        return frozenset({"forget rows", "retain rows", "labels"})

    def check(self, request_kind: RequestKind) -> None:
        """Check that the method can serve a kind of request.

        Raises:
            UserError: It cannot, or a setting has no effect on such a request.
        """
        if request_kind not in self.kinds:
            asked = "a class" if request_kind == "class" else "samples"
            raise UserError(f"method.name={self.name} cannot forget {asked}; `cu methods` says what each can.")

    def needs_positives(self, request_kind: RequestKind) -> bool:
        """Return whether forget rows are compared with retain rows of their own class, which then must be there."""
        return False

    def rows_per_step(self, forget: int, retain: int) -> float:
        """Return the number of rows that a step forwards through any model, on average over the run.

        Args:
            forget: Forget rows of a step.
            retain: Retain rows of a step.

        Returns:
            Rows.
        """
        return forget + retain

    def rows_to_prepare(self, num_forget: int, num_retain: int, num_classes: int) -> int:
        """Return the number of training rows that ``prepare`` forwards, over all ranks.

        Args:
            num_forget: Number of forget rows.
            num_retain: Number of retain rows.
            num_classes: Number of classes to forget; 0 for samples.

        Returns:
            Rows.
        """
        return 0

    def prepare(self, prep: Preparation) -> int:
        """Fill the state or change the model. Every rank calls it.

        Returns:
            The number of training rows that this rank forwarded.
        """
        return 0

    @abstractmethod
    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """Compute this rank's share of the loss. Every rank calls it, also with no rows."""

    def edit_gradients(self, context: StepContext) -> None:  # noqa: B027 - most methods leave the gradients alone
        """Change the gradients of ``context.model`` after the backward pass; they are equal on every rank."""


class ClosedForm(Method):
    """Base class of methods that edit the weights once, in ``prepare``."""

    closed_form: ClassVar[bool] = True
    whole_weights: ClassVar[bool] = True

    def rows_per_step(self, forget: int, retain: int) -> float:
        """No row: there is no training step."""
        return 0

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """Never called: the loop takes no training step with such a method."""
        raise AssertionError(f"{self.name} has no loss")


def share(loss: Tensor, **terms: Tensor) -> Losses:
    """Build the result of a step: the loss, and its terms for the record."""
    return Losses(loss, detached({"loss": loss, **terms}))


def detached(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Detach all terms from the graph."""
    return {name: value.detach() for name, value in terms.items()}


def require(forward: Forward | None) -> Forward:
    """Return a frozen model that ``needs`` asked for."""
    assert forward is not None
    return forward
