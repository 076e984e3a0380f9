"""What a method is: the loss of one step. Order, ranks, stopping, resume, tracking and audit are the loop's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from cu_core.models.classifier import Forward
from cu_core.types import Losses, RequestKind, UnlearnBatch

MethodState = dict[str, Tensor]


@dataclass(frozen=True)
class StepContext:
    """What a method may read besides the batch."""

    forward: Forward
    """The model being changed; call it once a step."""
    reference: Forward | None
    """The frozen original, without gradient, where the method asked for it."""
    request_kind: RequestKind
    num_classes: int
    step: int
    state: MethodState
    """The method's own tensors; part of every checkpoint, equal on every rank. Change the dict in place."""


class Method(Protocol):
    """A frozen dataclass of settings with these members."""

    @property
    def name(self) -> str: ...

    @property
    def needs_reference(self) -> bool:
        """Whether a frozen copy of the original must be kept."""
        ...

    def check(self, request_kind: RequestKind) -> None:
        """Raises: ValueError for settings that have no effect on such a request."""
        ...

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """This rank's share of the loss. Every rank calls it, also with no rows."""
        ...


def detached(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in terms.items()}
