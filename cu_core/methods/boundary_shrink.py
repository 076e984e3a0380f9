"""Boundary shrink: forget rows take the label of the class across the nearest boundary (Chen et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from cu_core.bounds import Positive
from cu_core.dist import gather_rows, global_counts
from cu_core.errors import UserError
from cu_core.losses.classification import cross_entropy_share
from cu_core.methods.base import Method, Need, Preparation, StepContext, share
from cu_core.types import Losses, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class BoundaryShrink(Method):
    """Finds the nearest wrong class of every forget row, then trains on it with cross-entropy.

    The class is found once, by one adversarial step on the original. Retain rows are not used.
    """

    name: Literal["boundary_shrink"] = "boundary_shrink"
    source: ClassVar[str] = "Chen et al. 2023, arXiv 2303.11570, eq. 5 and 6"
    whole_weights: ClassVar[bool] = True
    epsilon: Positive = 0.1
    """Size of the adversarial step, as a share of the pixel range; positive."""

    def __post_init__(self) -> None:
        if self.epsilon <= 0:
            raise UserError(f"epsilon must be positive, got {self.epsilon}")

    def needs(self) -> frozenset[Need]:
        """Forget rows and their labels."""
        return frozenset({"forget rows", "labels"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        """Retain rows are not forwarded."""
        return forget

    def rows_to_prepare(self, num_forget: int, num_retain: int, num_classes: int) -> int:
        """Every forget row is forwarded twice: for the gradient, and for the answer after the adversarial step."""
        return 2 * num_forget

    def prepare(self, prep: Preparation) -> int:
        """Find the nearest wrong class of every forget row.

        Equation 5: x' = x + epsilon sign(gradient of the loss). The class is the answer to x' among all classes but the
        row's own and those to be forgotten.
        """
        dtype = next(prep.model.parameters()).dtype
        ids, nearest = [torch.empty(0, dtype=torch.int64, device=prep.device)], []
        for batch in prep.batches(prep.split.forget.rows):
            images = batch.images.to(dtype).requires_grad_()
            loss = F.cross_entropy(prep.model(images).logits, batch.labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, images)
            with torch.no_grad():
                answers = prep.model((images + 255 * self.epsilon * gradient.sign()).clamp(0, 255)).logits
            ids.append(batch.sample_ids)
            answers[:, list(prep.split.forget.classes)] = -torch.inf
            nearest.append(answers.scatter(1, batch.labels[:, None], -torch.inf).argmax(1))
        all_ids = gather_rows(torch.cat(ids))
        order = all_ids.argsort()
        prep.state["ids"] = all_ids[order]
        prep.state["nearest"] = gather_rows(torch.cat([ids[0], *nearest]))[order]
        return 2 * sum(len(part) for part in ids)

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """Equation 6: cross-entropy of the forget rows with their nearest wrong class."""
        logits = context.forward({"forget": batch.forget.images})["forget"].logits
        (count,) = global_counts(len(batch.forget), device=logits.device)
        places = torch.searchsorted(context.state["ids"], batch.forget.sample_ids)
        loss = cross_entropy_share(logits, context.state["nearest"][places], count)
        return share(loss, relabel_loss=loss)
