"""Gradient ascent on the forget set (Golatkar et al. 2020; Thudi et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cu_core.dist import global_counts
from cu_core.methods.base import EVERY_MODEL, Method, Need, StepContext, share
from cu_core.methods.fit import fit_share
from cu_core.types import Losses, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class GradientAscent(Method):
    """The training loss of forget rows, maximised; classifiers do not look at retain rows, image-text models only
    contrast with them: utility falls with every step."""

    name: Literal["gradient_ascent"] = "gradient_ascent"
    source: ClassVar[str] = "Thudi et al. 2022, arXiv 2109.13398; Golatkar et al. 2020, arXiv 1911.04933, sec. 6"
    models = EVERY_MODEL

    def needs(self) -> frozenset[Need]:
        return frozenset({"forget rows", "labels"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        return forget

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        pairs = batch.forget.tokens is not None  # one concept's captions are alike: only others' tell them apart
        out = context.forward(batch.inputs if pairs else batch.forget.inputs("forget"))
        (count,) = global_counts(len(batch.forget), device=batch.forget.labels.device)
        forget = fit_share(out, batch.parts, "forget", count, against=["retain"])
        return share(-forget, forget_loss=forget)
