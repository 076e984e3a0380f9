"""Contrastive winner of the NeurIPS 2023 unlearning challenge: uniform answers, then contrast with retain rows.

Team fanchuan; first on the public board, second on the private one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from cu_core.bounds import BelowOne, Positive, UpToOne
from cu_core.dist import gather_rows, global_counts
from cu_core.errors import UserError
from cu_core.losses.classification import cross_entropy_share
from cu_core.losses.distillation import kl_share
from cu_core.methods.base import Method, StepContext, share
from cu_core.types import Losses, Outputs, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class Fanchuan(Method):
    """Makes the answers on forget rows uniform, then alternates contrast and retain steps.

    A contrast step spreads each forget row evenly over the retain rows of the batch. Contrast and plain retain steps
    alternate step by step (there: pass by pass). The last steps are retain steps only.
    """

    name: Literal["fanchuan"] = "fanchuan"
    source: ClassVar[str] = "fanchuan 2023, kaggle.com/c/neurips-2023-machine-unlearning, discussion 458721"
    uniform_frac: BelowOne = 0.1
    """Share of the run with uniform targets, in [0, 1)."""
    contrast_until: UpToOne = 0.7
    """Share of the run after which retain steps alone are taken; above uniform_frac, at most 1."""
    temperature: Positive = 1.15
    """Of the contrast; positive."""
    lambda_contrast: Positive = 0.1
    """Weight of the contrast; positive. Stands for its own learning rate there (3e-4 beside 4e-3 of retain steps)."""

    def __post_init__(self) -> None:
        if not 0 <= self.uniform_frac < self.contrast_until <= 1:
            raise UserError("0 <= uniform_frac < contrast_until <= 1 must hold")
        if self.temperature <= 0 or self.lambda_contrast <= 0:
            raise UserError("temperature and lambda_contrast must be positive")

    def rows_per_step(self, forget: int, retain: int) -> float:
        """The average over the three phases of the run."""
        contrast = (self.contrast_until - self.uniform_frac) / 2
        return (self.uniform_frac + contrast) * forget + (1 - self.uniform_frac) * retain

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """The loss of the phase that the step is in."""
        num_forget, num_retain = global_counts(len(batch.forget), len(batch.retain), device=batch.retain.labels.device)
        if context.progress < self.uniform_frac:
            logits = context.forward({"forget": batch.forget.images})["forget"].logits
            loss = kl_share(logits, torch.zeros_like(logits), num_forget)
            return self._named(loss, "uniform_loss")
        if context.progress < self.contrast_until and context.step % 2 == 0:
            out = context.forward({"forget": batch.forget.images, "retain": batch.retain.images})
            contrast = self._contrast(out["forget"], out["retain"], num_forget)
            return self._named(self.lambda_contrast * contrast, "contrast_loss")
        logits = context.forward({"retain": batch.retain.images})["retain"].logits
        return self._named(cross_entropy_share(logits, batch.retain.labels, num_retain), "retain_loss")

    def _contrast(self, forget: Outputs, retain: Outputs, num_forget: int) -> torch.Tensor:
        """Compute the mean of -log softmax over retain rows of (forget logits . retain logits / temperature).

        The retain logits are detached.
        """
        keys = gather_rows(retain.logits.detach())
        scores = forget.logits.float() if forget.logits.itemsize < 4 else forget.logits
        scores = scores @ keys.to(scores).T / self.temperature
        return -scores.log_softmax(1).sum() / max(num_forget * len(keys), 1)

    def _named(self, loss: torch.Tensor, name: str) -> Losses:
        zero = loss.detach() * 0
        terms = dict.fromkeys(("uniform_loss", "contrast_loss", "retain_loss"), zero)
        return share(loss, **{**terms, name: loss})
