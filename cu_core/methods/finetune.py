"""Plain training on the retain set: the original and the oracle are made with it, and it is a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cu_core.dist import global_counts
from cu_core.losses.classification import cross_entropy_share
from cu_core.methods.base import Method, Need, StepContext, share
from cu_core.types import Losses, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class FineTune(Method):
    """Cross-entropy on retain rows; forget rows are not looked at, catastrophic forgetting must do the work."""

    name: Literal["finetune"] = "finetune"
    source: ClassVar[str] = "Golatkar et al. 2020, arXiv 1911.04933, sec. 6 (baseline)"

    def needs(self) -> frozenset[Need]:
        return frozenset({"retain rows", "labels"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        return retain

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        out = context.forward({"retain": batch.retain.images})["retain"]
        (count,) = global_counts(len(batch.retain), device=out.logits.device)
        loss = cross_entropy_share(out.logits, batch.retain.labels, count)
        return share(loss, retain_loss=loss)
