"""SCRUB: the student leaves the teacher on forget rows and stays with it on retain rows (Kurmanji et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cu_core.bounds import Positive, UpToOne, Weight
from cu_core.dist import global_counts
from cu_core.errors import UserError
from cu_core.losses.classification import cross_entropy_share
from cu_core.losses.distillation import kl_share
from cu_core.methods.base import Method, Need, StepContext, require, share
from cu_core.types import Losses, UnlearnBatch


@dataclass(frozen=True, kw_only=True)
class Scrub(Method):
    """Moves the model away from the original's answers on forget rows and keeps them on retain rows.

    Equation 3, its two parts in turn as in the paper's algorithm 1 (there by epochs, here by steps: one on forget rows,
    one on retain rows), then retain steps alone. The paper's rewinding (SCRUB+R: of the states seen, the one with the
    forget error of unseen rows) is what the loop's stop rule keeps for every method.
    """

    name: Literal["scrub"] = "scrub"
    source: ClassVar[str] = "Kurmanji et al. 2023, arXiv 2302.09880, eq. 3, algorithms 1 and 2"
    alpha: Weight = 0.5
    """Weight of the distance to the teacher on retain rows; not negative."""
    gamma: Weight = 1.0
    """Weight of the cross-entropy on retain rows; not negative."""
    max_frac: UpToOne = 0.5
    """Share of the run in which forget steps are taken, in (0, 1]."""
    temperature: Positive = 4.0
    """Of the distillation; positive."""

    def __post_init__(self) -> None:
        if min(self.alpha, self.gamma) < 0 or not 0 < self.max_frac <= 1 or self.temperature <= 0:
            raise UserError("alpha and gamma must not be negative, max_frac in (0, 1], temperature positive")

    def needs(self) -> frozenset[Need]:
        """Forget and retain rows, labels and the frozen original."""
        return frozenset({"forget rows", "retain rows", "labels", "frozen original"})

    def rows_per_step(self, forget: int, retain: int) -> float:
        """The average over forget and retain steps; each row also passes through the original."""
        forgetting = self.max_frac / 2
        return 2 * (forgetting * forget + (1 - forgetting) * retain)

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """The loss of a forget step or of a retain step."""
        forgetting = context.progress < self.max_frac and context.step % 2 == 0
        part, name = (batch.forget, "forget") if forgetting else (batch.retain, "retain")
        images = {name: part.images}
        student, teacher = context.forward(images)[name].logits, require(context.reference)(images)[name].logits
        (count,) = global_counts(len(part), device=student.device)
        distance = kl_share(student, teacher, count, temperature=self.temperature)
        zero = distance.detach() * 0
        if forgetting:
            return share(-distance, forget_distance=distance, retain_distance=zero, retain_loss=zero)
        entropy = cross_entropy_share(student, part.labels, count)
        loss = self.alpha * distance + self.gamma * entropy
        return share(loss, forget_distance=zero, retain_distance=distance, retain_loss=entropy)
