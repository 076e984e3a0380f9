"""SalUn: random labels, but only the weights change on which the forget loss depends most (Fan et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from cu_core.bounds import UpToOne
from cu_core.dist import sum_over_ranks
from cu_core.errors import UserError
from cu_core.methods.base import Preparation, StepContext
from cu_core.methods.random_label import RandomLabel
from cu_core.types import Batch


@dataclass(frozen=True, kw_only=True)
class SalUn(RandomLabel):
    """Trains with random labels under a saliency mask.

    Batch statistics are not masked. Weight decay would still shrink masked weights; leave it at zero.
    """

    name: Literal["salun"] = "salun"  # type: ignore[assignment]
    source: ClassVar[str] = "Fan et al. 2024, arXiv 2310.12508, eq. 3 to 5"
    image_tower_only: ClassVar[bool] = True
    whole_weights: ClassVar[bool] = True
    mask_frac: UpToOne = 0.5
    """Share of the weights that may change, in (0, 1]: those of largest gradient (0.5 in the paper)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.mask_frac <= 1:
            raise UserError(f"mask_frac must lie in (0, 1], got {self.mask_frac}")

    def rows_to_prepare(self, num_forget: int, num_retain: int, num_classes: int) -> int:
        """The forget rows, for their gradient."""
        return num_forget

    def prepare(self, prep: Preparation) -> int:
        """Equation 3: mask |gradient of the forget loss at the original| by a threshold over all weights."""
        named = {n: p for n, p in prep.model.named_parameters() if p.requires_grad}
        gradients = {n: torch.zeros_like(p) for n, p in named.items()}
        rows = 0
        for batch in prep.batches(prep.split.forget.rows):
            loss = _fit(prep, batch)
            found = torch.autograd.grad(loss, list(named.values()), allow_unused=True, materialize_grads=True)
            for name, gradient in zip(named, found, strict=True):
                gradients[name] += gradient
            rows += len(batch)
        sizes = {n: sum_over_ranks(g).abs() for n, g in gradients.items()}
        everything = torch.cat([s.flatten() for s in sizes.values()])
        kept = max(1, round(self.mask_frac * len(everything)))
        threshold = everything.sort(descending=True).values[kept - 1]
        prep.state.update({f"mask.{n}": s >= threshold for n, s in sizes.items()})
        return rows

    def edit_gradients(self, context: StepContext) -> None:
        """Equation 4: weights outside the mask stay those of the original."""
        for name, parameter in context.model.named_parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(context.state[f"mask.{name}"])


def _fit(prep: Preparation, batch: Batch) -> torch.Tensor:
    """Compute the forget loss of some rows, a sum over rows that does not depend on which rows come together.

    It is the cross-entropy, or for pairs without classes minus the sum of cosines of the pairs.
    """
    if batch.tokens is None or prep.num_classes > 1:
        return F.cross_entropy(prep.model(batch.images).logits, batch.labels, reduction="sum")
    images, texts = prep.model(batch.images).embedding, prep.model.texts(batch.tokens).embedding
    matched: torch.Tensor = (images * texts).sum()
    return -matched
