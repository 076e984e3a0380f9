"""Random labels on the forget set, true ones on the retain set (Graves et al. 2021; Golatkar et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from cu_core.data.order import mix
from cu_core.dist import global_counts
from cu_core.losses.classification import cross_entropy_share
from cu_core.methods.base import Method, StepContext, share
from cu_core.types import Batch, Losses, UnlearnBatch


def wrong_labels(batch: Batch, num_classes: int, seed: int) -> Tensor:
    """(N,): for each row a class other than its own, uniform, a function of (seed, sample_id) alone."""
    drawn = mix(batch.sample_ids.cpu().numpy(), seed, 31) % max(num_classes - 1, 1)
    shift = torch.from_numpy(drawn.astype("int64")).to(batch.labels) + 1
    return (batch.labels + shift) % num_classes


@dataclass(frozen=True, kw_only=True)
class RandomLabel(Method):
    """Cross-entropy of forget rows with a wrong label each, beside that of retain rows."""

    name: Literal["random_label"] = "random_label"
    source: ClassVar[str] = "Graves et al. 2021, arXiv 2010.10981, sec. 3.2 (unlearning); Golatkar et al. 2020, sec. 6"
    lambda_retain: float = 1.0
    """Weight of the retain rows; not negative."""

    def __post_init__(self) -> None:
        if self.lambda_retain < 0:
            raise ValueError(f"lambda_retain must not be negative, got {self.lambda_retain}")

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        out = context.forward({"forget": batch.forget.images, "retain": batch.retain.images})
        logits = out["retain"].logits
        num_forget, num_retain = global_counts(len(batch.forget), len(batch.retain), device=logits.device)
        wrong = wrong_labels(batch.forget, context.num_classes, context.seed)
        forget = cross_entropy_share(out["forget"].logits, wrong, num_forget)
        retain = cross_entropy_share(logits, batch.retain.labels, num_retain)
        return share(forget + self.lambda_retain * retain, retain_loss=retain, relabel_loss=forget)
