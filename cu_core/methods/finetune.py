"""Plain training on the retain set: the original and the oracle are made with it, and it is a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cu_core.dist import global_counts
from cu_core.losses.classification import cross_entropy_share
from cu_core.methods.base import StepContext, detached
from cu_core.types import Losses, RequestKind, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class FineTune:
    """Cross-entropy on retain rows; forget rows are not looked at."""

    name: Literal["finetune"] = "finetune"

    @property
    def needs_reference(self) -> bool:
        return False

    def check(self, request_kind: RequestKind) -> None:
        return

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        out = context.forward({"retain": batch.retain.images})["retain"]
        (count,) = global_counts(len(batch.retain), device=out.logits.device)
        loss = cross_entropy_share(out.logits, batch.retain.labels, count)
        return Losses(loss, detached({"loss": loss, "retain_loss": loss}))
