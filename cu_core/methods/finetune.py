"""Plain training on the retain set: the original and the oracle are made with it, and it is a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cu_core.dist import global_counts
from cu_core.methods.base import EVERY_MODEL, Method, Need, StepContext, share
from cu_core.methods.fit import fit_share
from cu_core.types import Losses, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class FineTune(Method):
    """Trains on retain rows with cross-entropy; forget rows are not used (it relies on catastrophic forgetting)."""

    name: Literal["finetune"] = "finetune"
    source: ClassVar[str] = "Golatkar et al. 2020, arXiv 1911.04933, sec. 6 (baseline)"
    models = EVERY_MODEL
    needs_classes = False

    def needs(self) -> frozenset[Need]:
        """Retain rows and their labels."""
        return frozenset({"retain rows", "labels"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        """Forget rows are not forwarded."""
        return retain

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """The training loss on retain rows."""
        out = context.forward(batch.retain.inputs("retain"))
        (count,) = global_counts(len(batch.retain), device=batch.retain.labels.device)
        loss = fit_share(out, batch.parts, "retain", count)
        return share(loss, retain_loss=loss)
