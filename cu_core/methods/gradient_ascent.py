"""Gradient ascent on the forget set (Golatkar et al. 2020; Thudi et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cu_core.dist import global_counts
from cu_core.losses.classification import cross_entropy_share
from cu_core.methods.base import Method, Need, StepContext, share
from cu_core.types import Losses, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class GradientAscent(Method):
    """Cross-entropy on forget rows, maximised; retain rows are not looked at, so utility falls with every step."""

    name: Literal["gradient_ascent"] = "gradient_ascent"
    source: ClassVar[str] = "Thudi et al. 2022, arXiv 2109.13398; Golatkar et al. 2020, arXiv 1911.04933, sec. 6"

    def needs(self) -> frozenset[Need]:
        return frozenset({"forget rows", "labels"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        return forget

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        out = context.forward({"forget": batch.forget.images})["forget"]
        (count,) = global_counts(len(batch.forget), device=out.logits.device)
        forget = cross_entropy_share(out.logits, batch.forget.labels, count)
        return share(-forget, forget_loss=forget)
