"""Boundary expanding: forget rows move to a shadow class that is then cut away (Chen et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from cu_core.dist import global_counts, sum_over_ranks, world_size
from cu_core.losses.classification import cross_entropy_share
from cu_core.methods.base import Method, Need, StepContext, share
from cu_core.types import Losses, Outputs, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class BoundaryExpanding(Method):
    """Trains a linear unit for class C + 1 beside the head, with all forget rows as its members.

    The unit is trained by plain gradient descent. It is part of the method's state, never of the model, so nothing is
    left to prune.
    """

    name: Literal["boundary_expanding"] = "boundary_expanding"
    source: ClassVar[str] = "Chen et al. 2023, arXiv 2303.11570, sec. 4.3, eq. 7"

    def needs(self) -> frozenset[Need]:
        """Forget rows only; their labels are not used."""
        return frozenset({"forget rows"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        """Retain rows are not forwarded."""
        return forget

    def _shadow(self, context: StepContext, out: Outputs) -> Tensor:
        """Compute the logit of the shadow class, (N,); its weights and bias (D + 1,) start at zero."""
        feature = out.embedding.float() if out.embedding.itemsize < 4 else out.embedding
        if "shadow" not in context.state:
            context.state["shadow"] = torch.zeros(feature.shape[1] + 1).to(feature)
        weights = context.state["shadow"].requires_grad_()
        return feature @ weights[:-1] + weights[-1]

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """Equation 7: cross-entropy of the forget rows with the shadow class."""
        out = context.forward({"forget": batch.forget.images})["forget"]
        logits = torch.cat([out.logits, self._shadow(context, out)[:, None].to(out.logits)], 1)
        (count,) = global_counts(len(batch.forget), device=logits.device)
        shadow_class = torch.full_like(batch.forget.labels, logits.shape[1] - 1)
        loss = cross_entropy_share(logits, shadow_class, count)
        return share(loss, shadow_loss=loss)

    def edit_gradients(self, context: StepContext) -> None:
        """Update the shadow unit, since the loop updates only the model's weights."""
        shadow = context.state["shadow"]
        assert shadow.grad is not None
        # The loop scales each rank's share by the number of ranks for wrappers that average; here it is summed.
        step = context.learning_rate * sum_over_ranks(shadow.grad) / world_size()
        context.state["shadow"] = shadow.detach() - step
