"""Random labels on the forget set, true ones on the retain set (Graves et al. 2021; Golatkar et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from cu_core.bounds import Weight
from cu_core.data.order import hash64
from cu_core.dist import global_counts
from cu_core.errors import UserError
from cu_core.losses.blocks import by_rows
from cu_core.losses.classification import cross_entropy_share
from cu_core.losses.image_text import same_text
from cu_core.methods.base import EVERY_MODEL, Method, StepContext, share
from cu_core.methods.fit import Numbers, caption_numbers, fit_share, image_to_text_sum
from cu_core.salts import Salt
from cu_core.types import Batch, Losses, UnlearnBatch


def wrong_labels(batch: Batch, num_classes: int, seed: int, forget_classes: tuple[int, ...] = ()) -> Tensor:
    """Draw a wrong class for each row, uniformly, as a function of (seed, sample_id) alone.

    Args:
        batch: The rows.
        num_classes: Number of classes.
        seed: Seed of the draw.
        forget_classes: Classes to be forgotten; they are not drawn, and neither is the row's own class.

    Returns:
        int64 (N,).

    Raises:
        UserError: No class is left.
    """
    gone = {*forget_classes}
    labels = batch.labels.tolist()
    others = {c: [(c + k) % num_classes for k in range(1, num_classes)] for c in set(labels)}
    allowed = {c: [other for other in row if other not in gone] for c, row in others.items()}
    if not all(allowed[label] for label in labels):
        raise UserError("random labels need a class that is neither the row's own nor forgotten.")
    drawn = hash64(batch.sample_ids.cpu().numpy(), seed, Salt.RANDOM_LABEL).tolist()
    chosen = [allowed[label][d % len(allowed[label])] for label, d in zip(labels, drawn, strict=True)]
    return torch.tensor(chosen, dtype=torch.int64, device=batch.labels.device)


def wrong_captions(batch: UnlearnBatch, seed: int) -> Numbers:
    """Draw a wrong caption for each forget row, among those of the retain rows.

    A retain row with another caption than the row's own is drawn by (seed, sample_id); if there is none, the first
    retain row is taken.

    Args:
        batch: Forget and retain rows of this rank.
        seed: Seed of the draw.

    Returns:
        The number of the caption drawn for each forget row, (n,), and those of the retain rows of all ranks, (M,).
    """
    own, theirs = caption_numbers(batch.forget, [batch.retain])
    numbers = hash64(batch.forget.sample_ids.cpu().numpy(), seed, Salt.RANDOM_CAPTION) % np.uint64(2**31)
    drawn = torch.from_numpy(numbers.astype(np.int64)).to(own.device)

    def part(rows: slice) -> tuple[Tensor]:
        other = ~same_text(own[rows], theirs)
        nth = drawn[rows] % other.sum(1).clamp_min(1)
        return (((other.cumsum(1) == nth[:, None] + 1) & other).to(torch.int64).argmax(1),)

    with torch.no_grad():
        (places,) = by_rows(len(own), len(theirs), part)
    return theirs[places], theirs


@dataclass(frozen=True, kw_only=True)
class RandomLabel(Method):
    """Trains each forget row with a wrong label, beside the cross-entropy on retain rows.

    Image-text models: forget images are contrasted, among all captions of the step, with the caption of a retain row
    each.
    """

    name: Literal["random_label"] = "random_label"
    source: ClassVar[str] = "Graves et al. 2021, arXiv 2010.10981, sec. 3.2 (unlearning); Golatkar et al. 2020, sec. 6"
    models = EVERY_MODEL
    needs_classes = False
    lambda_retain: Weight = 1.0
    """Weight of the retain rows; not negative."""

    def __post_init__(self) -> None:
        if self.lambda_retain < 0:
            raise UserError(f"lambda_retain must not be negative, got {self.lambda_retain}")

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """The loss with wrong labels or captions, and the training loss on retain rows."""
        out = context.forward(batch.inputs)
        device = batch.retain.labels.device
        num_forget, num_retain = global_counts(len(batch.forget), len(batch.retain), device=device)
        if batch.forget.tokens is None:
            wrong = wrong_labels(batch.forget, context.num_classes, context.seed, context.forget_classes)
            forget = cross_entropy_share(out["forget"].logits, wrong, num_forget)
        else:
            drawn, theirs = wrong_captions(batch, context.seed)
            everyone = torch.cat([theirs.new_full((num_forget,), -1), theirs])  # captions to forget match nothing
            forget = image_to_text_sum(out, "forget", ["forget", "retain"], (drawn, everyone)) / max(num_forget, 1)
        retain = fit_share(out, batch.parts, "retain", num_retain)
        return share(forget + self.lambda_retain * retain, retain_loss=retain, relabel_loss=forget)
