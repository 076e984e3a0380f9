"""Bad teacher: the original teaches retain rows, an untrained model forget rows (Chundawat et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cu_core.bounds import Positive
from cu_core.dist import global_counts
from cu_core.errors import UserError
from cu_core.losses.distillation import kl_share
from cu_core.methods.base import Method, Need, StepContext, require, share
from cu_core.types import Losses, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class BadTeacher(Method):
    """KL(original || student) on retain rows and KL(untrained || student) on forget rows."""

    name: Literal["bad_teacher"] = "bad_teacher"
    source: ClassVar[str] = "Chundawat et al. 2023, arXiv 2205.08096, eq. 2"
    lambda_forget: Positive = 1.0
    """Weight of the forget rows; positive."""
    temperature: Positive = 1.0
    """Of the distillation; positive."""

    def __post_init__(self) -> None:
        if self.lambda_forget <= 0 or self.temperature <= 0:
            raise UserError("lambda_forget and temperature must be positive")

    def needs(self) -> frozenset[Need]:
        """Forget and retain rows and both teachers; no labels."""
        return frozenset({"forget rows", "retain rows", "frozen original", "untrained model"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        """Every row passes through the student and through one teacher."""
        return 2 * (forget + retain)

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """Equation 2: the two divergences, weighted."""
        out = context.forward({"forget": batch.forget.images, "retain": batch.retain.images})
        counts = global_counts(len(batch.forget), len(batch.retain), device=out["retain"].logits.device)
        bad = require(context.untrained)({"forget": batch.forget.images})["forget"].logits
        good = require(context.reference)({"retain": batch.retain.images})["retain"].logits
        forget = kl_share(out["forget"].logits, bad, counts[0], temperature=self.temperature)
        retain = kl_share(out["retain"].logits, good, counts[1], temperature=self.temperature)
        return share(self.lambda_forget * forget + retain, forget_distance=forget, retain_distance=retain)
