"""Objectives that train an encoder by contrasting two views of each row; the classifier is fitted afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from cu_core.bounds import BankRows, BelowOne, Positive, RowCount, Width
from cu_core.dist import gather_rows, global_counts
from cu_core.errors import UserError
from cu_core.losses.views import queue_share, views_share
from cu_core.methods.base import Method, Preparation, StepContext, share
from cu_core.methods.finetune import FineTune
from cu_core.methods.fit import in_full
from cu_core.types import Losses, UnlearnBatch

ObjectiveName = Literal["cross_entropy", "supcon", "simclr", "moco"]
TEMPERATURES: dict[ObjectiveName, float] = {"supcon": 0.1, "simclr": 0.5, "moco": 0.2}
"""Of the papers (SimCLR: on CIFAR-10; MoCo: version 2)."""
KEY = "key."
"""Prefix of the momentum encoder's tensors in the state."""
QUEUE = "queue"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Settings of the objectives that contrast views."""

    temperature: Positive | None = None
    """Divides cosines; ``null``: 0.1 (supcon), 0.5 (simclr), 0.2 (moco)."""
    projection: Width = 128
    """Output width of the projection, a network of two layers that stands in for the head while the encoder trains."""
    queue: BankRows = 4096
    """moco: number of earlier keys that are negatives."""
    momentum: BelowOne = 0.99
    """moco: the share of itself that the momentum encoder keeps in each step."""
    probe_rows: RowCount = 20_000
    """Largest number of training rows, drawn with the seed, on which the head is fitted after training."""

    def check(self, objective: ObjectiveName) -> None:
        """Check that every setting has an effect.

        Raises:
            UserError: One has none.
        """
        default = Contrast()
        if objective == "cross_entropy" and self != default:
            raise UserError("train.contrast is for train.objective=supcon, simclr or moco; it is cross_entropy")
        if objective != "moco" and (self.queue, self.momentum) != (default.queue, default.momentum):
            raise UserError(f"train.contrast.queue and momentum are for train.objective=moco; it is {objective}")


def objective_method(name: ObjectiveName, settings: Contrast) -> Method:
    """Return what the loop trains with."""
    if name == "cross_entropy":
        return FineTune()
    temperature = settings.temperature or TEMPERATURES[name]
    if name == "moco":
        return MoCo(
            temperature=temperature, width=settings.projection, queue=settings.queue, momentum=settings.momentum
        )
    return TwoViews(temperature=temperature, supervised=name == "supcon")


@dataclass(frozen=True, kw_only=True)
class TwoViews(Method):
    """SupCon, or without labels SimCLR: all views of the global batch are contrasted with one another."""

    name: Literal["two_views"] = "two_views"
    source: ClassVar[str] = "Khosla et al. 2020, arXiv 2004.11362; Chen et al. 2020, arXiv 2002.05709"
    temperature: float
    supervised: bool
    """Whether rows of the same label are positives, too. If not, the views of the same row alone are: also where an
    epoch's end serves a row twice in one batch."""

    def prepare(self, prep: Preparation) -> int:
        """Check that there is something to contrast; no row is forwarded.

        Raises:
            UserError: No two rows differ in what is contrasted, so that every loss would be 0.
        """
        left = prep.num_classes - len(prep.split.forget.classes) if self.supervised else prep.split.num_retain
        if left < 2:
            what = "classes: take simclr" if self.supervised else "rows"
            raise UserError(f"train.objective: views are contrasted with those of others, which needs two {what}.")
        return 0

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """The contrast of both views of the retain rows."""
        rows = batch.retain
        projections = in_full(context.forward({"retain": rows.images})["retain"].logits)
        numbers = rows.labels if self.supervised else rows.sample_ids
        return share(views_share(projections, numbers, temperature=self.temperature))


@dataclass(frozen=True, kw_only=True)
class MoCo(Method):
    """MoCo: first views against keys that a momentum encoder makes of second views, and a queue of earlier keys.

    The momentum encoder and the queue are the method's state, so they are part of every checkpoint.
    """

    name: Literal["moco"] = "moco"
    source: ClassVar[str] = "He et al. 2020, arXiv 1911.05722; Chen et al. 2020, arXiv 2003.04297"
    temperature: float
    width: int
    """Output width of the projection."""
    queue: int
    momentum: float

    def prepare(self, prep: Preparation) -> int:
        """Copy the encoder, and fill the queue with random directions; no row is forwarded."""
        tensors = {**dict(prep.model.named_parameters()), **dict(prep.model.named_buffers())}
        prep.state.update({KEY + name: value.detach().clone() for name, value in tensors.items()})
        generator = torch.Generator().manual_seed(prep.seed)
        drawn = torch.randn(self.queue, self.width, generator=generator)
        prep.state[QUEUE] = in_full(F.normalize(drawn, dim=1).to(next(prep.model.parameters())))
        return 0

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """The contrast of the first views; then the keys of all ranks enter the queue, and the oldest leave it."""
        first, second = batch.retain.images.chunk(2) if len(batch.retain) else (batch.retain.images,) * 2
        keys = self._keys(context, second)
        queries = in_full(context.forward({"retain": first})["retain"].logits)
        (count,) = global_counts(len(first), device=first.device)
        queue = context.state[QUEUE]
        loss = queue_share(queries, keys, queue, count, temperature=self.temperature)
        context.state[QUEUE] = torch.cat([gather_rows(keys), queue])[: self.queue]
        return share(loss)

    @torch.no_grad()
    def _keys(self, context: StepContext, images: Tensor) -> Tensor:
        """Move the momentum encoder towards the encoder, and embed images with it. Its batch statistics are its own."""
        for name, value in context.model.named_parameters():
            context.state[KEY + name].lerp_(value, 1 - self.momentum)
        tensors = {name.removeprefix(KEY): t for name, t in context.state.items() if name.startswith(KEY)}
        return F.normalize(in_full(functional_call(context.model, tensors, (images,)).logits), dim=1)
