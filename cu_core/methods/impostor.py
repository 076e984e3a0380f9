"""Controls that look unlearned to one audit and are not: every audit suite must detect them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cu_core.dist import global_counts
from cu_core.losses.classification import cross_entropy_share
from cu_core.methods.base import Method, StepContext, share
from cu_core.methods.fit import in_full
from cu_core.methods.random_label import wrong_labels
from cu_core.types import Losses, RequestKind, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class Impostor(Method):
    """Cross-entropy of forget rows with answers that only hide the class, in addition to that of retain rows."""

    name: Literal["impostor"] = "impostor"
    source: ClassVar[str] = "this project, a control; cf. Jung et al. 2025 (last layer), Zhao et al. 2024 (relabelling)"
    kinds: ClassVar[tuple[RequestKind, ...]] = ("class",)
    control: ClassVar[bool] = True
    trick: Literal["head_only", "one_class", "uniform"] = "one_class"
    """``head_only``: random labels, only the last linear layer learns (with batch_norm: frozen nothing else changes);
    ``one_class``: the first retained class for every row; ``uniform``: all classes alike."""

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """The loss of the trick and the cross-entropy on retain rows."""
        out = context.forward({"forget": batch.forget.images, "retain": batch.retain.images})
        logits = out["forget"].logits
        num_forget, num_retain = global_counts(len(batch.forget), len(batch.retain), device=logits.device)
        retain = cross_entropy_share(out["retain"].logits, batch.retain.labels, num_retain)
        forget = self._hidden(context, batch, logits, num_forget)
        return share(forget + retain, retain_loss=retain, impostor_loss=forget)

    def _hidden(self, context: StepContext, batch: UnlearnBatch, logits: Tensor, count: int) -> Tensor:
        if self.trick == "uniform":
            return -F.log_softmax(in_full(logits), dim=1).mean(1).sum() / max(count, 1)
        if self.trick == "one_class":
            first = min(set(range(context.num_classes)) - set(context.forget_classes))
            return cross_entropy_share(logits, torch.full_like(batch.forget.labels, first), count)
        wrong = wrong_labels(batch.forget, context.num_classes, context.seed, context.forget_classes)
        return cross_entropy_share(logits, wrong, count)

    def edit_gradients(self, context: StepContext) -> None:
        """``head_only`` drops the gradients of all weights but the head's."""
        if self.trick == "head_only":
            head = [m for m in context.model.modules() if isinstance(m, nn.Linear)][-1]
            kept = {id(p) for p in head.parameters()}
            for parameter in context.model.parameters():
                if id(parameter) not in kept:
                    parameter.grad = None
