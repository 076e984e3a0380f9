"""Retraining from an untrained model, cut off at the budget: what the same rows achieve without the original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cu_core.methods.base import Method, Need, Preparation, StepContext
from cu_core.methods.finetune import FineTune
from cu_core.sharding import load_whole
from cu_core.types import Losses, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class Retrain(Method):
    """Replaces the weights by untrained ones before the first step, then trains on retain rows.

    Nothing of the forget set can remain, so the gap to the oracle is missing training.
    """

    name: Literal["retrain"] = "retrain"
    source: ClassVar[str] = "exact unlearning (Cao and Yang 2015), within a budget"

    def needs(self) -> frozenset[Need]:
        """Retain rows, their labels and an untrained model."""
        return frozenset({"retain rows", "labels", "untrained model"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        """Forget rows are not forwarded."""
        return retain

    def prepare(self, prep: Preparation) -> int:
        """Load the untrained weights; no row is forwarded."""
        assert prep.untrained is not None
        load_whole(prep.model, prep.untrained.state_dict())
        return 0

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """The training loss on retain rows."""
        return FineTune().losses(context, batch)
