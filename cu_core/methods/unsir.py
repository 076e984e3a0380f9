"""UNSIR: error-maximising noise impairs the class, retain rows repair the rest (Tarun et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.bounds import BatchRows, Rate, Steps, UpToOne, Weight
from cu_core.data.order import hash64
from cu_core.dist import global_counts, rank
from cu_core.errors import UserError
from cu_core.losses.classification import cross_entropy_share
from cu_core.methods.base import Method, Need, Preparation, StepContext, share
from cu_core.types import Batch, Losses, RequestKind, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class Unsir(Method):
    """Trains on error-maximising noise instead of forget images, which are never used.

    The noise is learned once for each class. The first steps train on it with the class's label beside retain rows
    (impair), the others on retain rows alone (repair). Both use the run's one learning rate (the authors take two).
    """

    name: Literal["unsir"] = "unsir"
    source: ClassVar[str] = "Tarun et al. 2023, arXiv 2111.08947, eq. 2, algorithm 1"
    kinds: ClassVar[tuple[RequestKind, ...]] = ("class",)
    whole_weights: ClassVar[bool] = True
    noise_rows: BatchRows = 64
    """Noise images a class."""
    noise_steps: Steps = 20
    """Adam steps on them."""
    noise_lr: Rate = 0.1
    """Rate of these steps; noise has the scale of normalised pixels."""
    noise_penalty: Weight = 0.1
    """lambda of equation 2, on the squared norm; not negative."""
    impair_frac: UpToOne = 0.5
    """Share of the run that impairs, in (0, 1]."""

    def __post_init__(self) -> None:
        if min(self.noise_rows, self.noise_steps) < 1 or self.noise_lr <= 0 or self.noise_penalty < 0:
            raise UserError("noise_rows and noise_steps must be at least 1, noise_lr positive, noise_penalty >= 0")
        if not 0 < self.impair_frac <= 1:
            raise UserError(f"impair_frac must lie in (0, 1], got {self.impair_frac}")

    def needs(self) -> frozenset[Need]:
        """Retain rows and their labels."""
        return frozenset({"retain rows", "labels"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        """Retain rows, and as many noise images as forget rows while impairing."""
        return retain + self.impair_frac * forget

    def prepare(self, prep: Preparation) -> int:
        """Equation 2: find noise that maximises the cross-entropy of its class; it is the same on every rank."""
        reader, model = prep.split.reader, prep.model
        shape = reader.images("train", prep.split.forget.rows[:1]).shape[1:]
        classes = torch.tensor(prep.split.forget.classes, device=prep.device)
        labels = classes.repeat_interleave(self.noise_rows)
        generator = torch.Generator().manual_seed(prep.seed)
        noise = torch.randn(len(labels), *shape, generator=generator).to(prep.device).requires_grad_()
        optimizer = torch.optim.Adam([noise], lr=self.noise_lr)
        for _ in range(self.noise_steps):
            error = F.cross_entropy(model(_pixels(noise)).logits, labels)
            size = noise.square().flatten(1).sum(1).mean()
            (noise.grad,) = torch.autograd.grad(self.noise_penalty * size - error, noise)
            optimizer.step()
        prep.state["noise"] = _pixels(noise.detach()).view(len(classes), self.noise_rows, *shape)
        prep.state["classes"] = classes
        return self.noise_steps * len(labels) if rank() == 0 else 0

    def rows_to_prepare(self, num_forget: int, num_retain: int, num_classes: int) -> int:
        """The noise images, once for each Adam step."""
        return self.noise_steps * self.noise_rows * num_classes

    def _noise(self, context: StepContext, batch: Batch) -> Tensor:
        """Return a noise image of its class for every forget row; which one depends on (step, sample_id) alone."""
        place = torch.searchsorted(context.state["classes"], batch.labels)
        drawn = hash64(batch.sample_ids.cpu().numpy(), context.seed, context.step) % self.noise_rows
        return context.state["noise"][place, torch.from_numpy(drawn.astype("int64")).to(place)]

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """The loss of an impair step or of a repair step."""
        impair = context.progress < self.impair_frac
        noise = {"noise": self._noise(context, batch.forget)} if impair else {}
        out = context.forward({**noise, "retain": batch.retain.images})
        logits = out["retain"].logits
        num_forget, num_retain = global_counts(len(batch.forget), len(batch.retain), device=logits.device)
        retain = cross_entropy_share(logits, batch.retain.labels, num_retain)
        wrong = (
            cross_entropy_share(out["noise"].logits, batch.forget.labels, num_forget) if impair else retain.detach() * 0
        )
        return share(retain + wrong, retain_loss=retain, impair_loss=wrong)


def _pixels(noise: Tensor) -> Tensor:
    """Convert noise of unit scale to grey values around the middle of their range."""
    return 127.5 + 63.75 * noise
