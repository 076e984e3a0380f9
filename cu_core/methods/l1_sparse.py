"""l1-sparse: fine-tuning that drives weights to zero while it forgets (Jia et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from cu_core.bounds import Positive
from cu_core.dist import world_size
from cu_core.errors import UserError
from cu_core.methods.base import Method, Need, StepContext, share
from cu_core.methods.finetune import FineTune
from cu_core.types import Losses, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class L1Sparse(Method):
    """Fine-tunes towards few weights, which costs forget rows most: CE(retain) + gamma |weights|.

    gamma falls linearly to zero over the run (the paper's schedule).
    """

    name: Literal["l1_sparse"] = "l1_sparse"
    source: ClassVar[str] = "Jia et al. 2023, arXiv 2304.04934, eq. 3 and sec. 4"
    whole_weights: ClassVar[bool] = True
    gamma: Positive = 5e-4
    """Weight of the l1 norm at the first step; positive."""

    def __post_init__(self) -> None:
        if self.gamma <= 0:
            raise UserError(f"gamma must be positive, got {self.gamma}")

    def needs(self) -> frozenset[Need]:
        """Retain rows and their labels."""
        return frozenset({"retain rows", "labels"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        """Forget rows are not forwarded."""
        return retain

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """Equation 3 with the gamma of this step."""
        retain = FineTune().losses(context, batch).total
        weights = [p for p in context.model.parameters() if p.requires_grad]
        norm = torch.stack([p.abs().sum() for p in weights]).sum() / world_size()  # each rank's share of one norm
        loss = retain + self.gamma * (1 - context.progress) * norm.to(retain.dtype)
        return share(loss, retain_loss=retain, l1_norm=norm)
