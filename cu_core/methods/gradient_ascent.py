"""Gradient ascent on the forget set (Golatkar et al. 2020; Thudi et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cu_core.dist import global_counts
from cu_core.losses.classification import cross_entropy_share
from cu_core.losses.image_text import drift_sum
from cu_core.methods.base import EVERY_MODEL, Method, Need, StepContext, share
from cu_core.methods.fit import in_full, scale_of
from cu_core.types import TEXTS, Losses, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class GradientAscent(Method):
    """Maximises the cross-entropy on forget rows; retain rows are not used, so utility falls with every step.

    Pairs: scaled 1 - cosine is maximised instead, since the captions of one concept are alike and a contrast among them
    has no gradient.
    """

    name: Literal["gradient_ascent"] = "gradient_ascent"
    source: ClassVar[str] = "Thudi et al. 2022, arXiv 2109.13398; Golatkar et al. 2020, arXiv 1911.04933, sec. 6"
    models = EVERY_MODEL
    needs_classes = False

    def needs(self) -> frozenset[Need]:
        """Forget rows and their labels."""
        return frozenset({"forget rows", "labels"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        """Retain rows are not forwarded."""
        return forget

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """Minus the loss of the forget rows."""
        out = context.forward(batch.forget.inputs("forget"))
        (count,) = global_counts(len(batch.forget), device=batch.forget.labels.device)
        if batch.forget.tokens is None:
            forget = cross_entropy_share(out["forget"].logits, batch.forget.labels, count)
        else:
            images, texts = (in_full(out[name].embedding) for name in ("forget", f"forget {TEXTS}"))
            forget = scale_of(out["forget"]) * drift_sum(images, texts) / max(count, 1)
        return share(-forget, forget_loss=forget)
