"""Selective synaptic dampening: weights that matter most to the forget set shrink (Foster et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, vmap

from cu_core.bounds import Positive, RowCount
from cu_core.data.order import EpochOrder, Rows
from cu_core.dist import rank_slice, sum_over_ranks
from cu_core.errors import UserError
from cu_core.methods.base import ClosedForm, Preparation
from cu_core.salts import Salt

SAMPLES_AT_ONCE = 8
"""Gradients of so many rows are held at a time, each as large as the model."""


def importances(prep: Preparation, rows: Rows) -> dict[str, Tensor]:
    """Compute the diagonal Fisher information of each weight.

    It is the mean over rows of the squared gradient of the log-likelihood.

    Args:
        prep: The original and the data.
        rows: Training rows.

    Returns:
        Name -> tensor of the weight's shape; equal on every rank.
    """
    body, preprocess = prep.model.body, prep.model.preprocess
    named = {n: p.detach() for n, p in body.named_parameters() if p.requires_grad}

    def loss(weights: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(body, weights, (image[None],)), label[None])

    per_sample = vmap(grad(loss), in_dims=(None, 0, 0))
    sums = {n: torch.zeros_like(p) for n, p in named.items()}
    for batch in prep.batches(rows):
        images = preprocess(batch.images, next(iter(named.values())).dtype)
        for start in range(0, len(batch), SAMPLES_AT_ONCE):
            part = slice(start, start + SAMPLES_AT_ONCE)
            for name, gradient in per_sample(named, images[part], batch.labels[part]).items():
                sums[name] += gradient.square().sum(0)
    return {n: sum_over_ranks(s) / max(len(rows), 1) for n, s in sums.items()}


@dataclass(frozen=True, kw_only=True)
class SSD(ClosedForm):
    """Edits the weights once, without a training step.

    The importance for the rest is measured on a sample of retain rows (the paper: on all of the training data).
    """

    name: Literal["ssd"] = "ssd"
    source: ClassVar[str] = "Foster et al. 2024, arXiv 2308.07707, eq. 3 to 6"
    alpha: Positive = 10.0
    """How many times more important for the forget set a weight must be to be dampened; positive."""
    lambda_dampening: Positive = 1.0
    """lambda: weights are multiplied by lambda times (importance for the rest / for the forget set), at most 1."""
    num_rows: RowCount = 1000
    """Most rows of each set on which importance is measured."""

    def __post_init__(self) -> None:
        if self.alpha <= 0 or self.lambda_dampening <= 0 or self.num_rows < 1:
            raise UserError("alpha and lambda_dampening must be positive, num_rows at least 1")

    def rows_to_prepare(self, num_forget: int, num_retain: int, num_classes: int) -> int:
        """The sampled forget and retain rows."""
        return min(num_forget, self.num_rows) + min(num_retain, self.num_rows)

    def _sample(self, count: int, seed: int) -> Rows:
        return EpochOrder(count, seed).at(0, min(self.num_rows, count))

    def prepare(self, prep: Preparation) -> int:
        """Dampen the weights that are much more important for the forget set than for the rest."""
        split = prep.split
        forget_rows = split.forget.rows[self._sample(len(split.forget.rows), prep.seed + Salt.SSD_FORGET_ROWS)]
        retain_rows = split.retain_rows(self._sample(split.num_retain, prep.seed + Salt.SSD_RETAIN_ROWS))
        forget, rest = importances(prep, forget_rows), importances(prep, retain_rows)
        with torch.no_grad():
            for name, weight in prep.model.body.named_parameters():
                if name not in forget:
                    continue
                chosen = forget[name] > self.alpha * rest[name]
                factor = (self.lambda_dampening * rest[name] / forget[name]).clamp(max=1)
                weight.mul_(torch.where(chosen, factor, torch.ones_like(factor)))
        return len(forget_rows[rank_slice(len(forget_rows))]) + len(retain_rows[rank_slice(len(retain_rows))])
