"""NegGrad+: descent on retain rows and ascent on forget rows at once (Kurmanji et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cu_core.bounds import Inside
from cu_core.dist import global_counts
from cu_core.errors import UserError
from cu_core.methods.base import EVERY_MODEL, Method, StepContext, share
from cu_core.methods.fit import fit_share
from cu_core.types import Losses, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class NegGradPlus(Method):
    """Descends on retain rows and ascends on forget rows in one loss: beta CE(retain) - (1 - beta) CE(forget)."""

    name: Literal["neggrad_plus"] = "neggrad_plus"
    source: ClassVar[str] = "Kurmanji et al. 2023 (SCRUB), arXiv 2302.09880, sec. 4 (NegGrad+)"
    models = EVERY_MODEL
    needs_classes = False
    beta: Inside = 0.9
    """Weight of the retain rows, in (0, 1)."""

    def __post_init__(self) -> None:
        if not 0 < self.beta < 1:
            raise UserError(f"beta must lie in (0, 1), got {self.beta}")

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """The difference of the two weighted losses."""
        out = context.forward(batch.inputs)
        device = batch.retain.labels.device
        num_forget, num_retain = global_counts(len(batch.forget), len(batch.retain), device=device)
        forget = fit_share(out, batch.parts, "forget", num_forget, against=["retain"])
        retain = fit_share(out, batch.parts, "retain", num_retain)
        return share(self.beta * retain - (1 - self.beta) * forget, retain_loss=retain, forget_loss=forget)
