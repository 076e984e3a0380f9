"""Contrastive unlearning for image-text models: images and captions, not images alone.

The paper (Lee et al. 2025, arXiv 2401.10458) says that its loss generalises. This is equation 5 between an image and
captions (and a caption and images), with a floor under the push and a ceiling over the pull.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from cu_core.bounds import Positive, Share, Weight
from cu_core.dist import global_counts
from cu_core.errors import UserError
from cu_core.losses.blocks import by_rows
from cu_core.losses.contrastive import dispersion_share
from cu_core.losses.image_text import drift_sum, pull_to_ceiling, push_to_floor, same_text
from cu_core.methods.bank import bank_rows, gather_measured
from cu_core.methods.base import Method, ModelKind, Need, Preparation, StepContext, detached, require
from cu_core.methods.fit import Numbers, Sets, caption_numbers, fit_share, gather_embeddings, in_full, scale_of
from cu_core.models.classifier import Classifier
from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import TEXTS, Batch, Losses, UnlearnBatch

BANK = 512
"""Retain pairs by which matched and unmatched cosines are measured."""


@dataclass(frozen=True, kw_only=True)
class ContrastiveClip(Method):
    """Pushes forget images from the captions of what is forgotten and pulls them to others.

    If the text tower is trained, captions are pushed and pulled in the same way.
    """

    name: Literal["contrastive_clip"] = "contrastive_clip"
    source: ClassVar[str] = "Lee et al. 2025, arXiv 2401.10458, eq. 5, between images and captions"
    models: ClassVar[tuple[ModelKind, ...]] = ("image-text",)
    needs_classes = False
    temperature: Positive = 0.5
    """tau of the unlearning terms. The retain term uses the model's own scale."""
    lambda_push: Weight = 1.0
    """Weight of the push away from the concept's captions, down to the cosine of retain images with its prompts. Pairs:
    away from the own caption, down to the cosine of unmatched pairs."""
    lambda_pull: Weight = 1.0
    """Weight of the pull to captions of retain rows, up to the cosine of matched pairs."""
    uniform_pull: Share = 0.25
    """Part of the pull's weights that is uniform. The rest follows the original's answer without the concept."""
    lambda_dispersion: Weight = 0.5
    """Weight of the mean cosine among forget images of the batch, which is minimised."""
    lambda_retain: Weight = 1.0
    """Weight of the training loss on retain pairs."""
    lambda_drift: Weight = 1.0
    """Weight of 1 - cosine between retain embeddings and those of the original."""

    def __post_init__(self) -> None:
        if self.temperature <= 0 or not 0 <= self.uniform_pull <= 1:
            raise UserError("temperature must be positive, uniform_pull in [0, 1]")
        weights = self.lambda_push, self.lambda_pull, self.lambda_dispersion, self.lambda_retain, self.lambda_drift
        if min(weights) < 0:
            raise UserError(
                "lambda_push, lambda_pull, lambda_dispersion, lambda_retain and lambda_drift must not be negative"
            )

    def needs(self) -> frozenset[Need]:
        """Also the frozen original."""
        return super().needs() | {"frozen original"}

    def rows_per_step(self, forget: int, retain: int) -> float:
        """Every row passes through the model and through the original."""
        return 2 * (forget + retain)

    def rows_to_prepare(self, num_forget: int, num_retain: int, num_classes: int) -> int:
        """The retain pairs on which the cosines are measured."""
        return min(BANK, num_retain)

    def prepare(self, prep: Preparation) -> int:
        """Measure the original's mean cosine of matched pairs (ceiling) and of unmatched pairs (floor)."""

        def measure(batch: Batch) -> tuple[Tensor, ...]:
            assert batch.tokens is not None
            return prep.model(batch.images).embedding, prep.model.texts(batch.tokens).embedding, batch.tokens

        (images, texts, tokens), rows = gather_measured(prep, bank_rows(prep, BANK), measure)
        cosine = images @ texts.T
        same = (tokens[:, None] == tokens[None]).all(2)
        prep.state["ceiling"] = cosine[same].mean()
        prep.state["floor"] = cosine[~same].mean() if not bool(same.all()) else cosine.mean()
        return rows

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """Pull, push, the training loss on retain pairs and the drift, weighted."""
        out = context.forward(batch.inputs)
        frozen = require(context.reference)(batch.inputs)
        device = batch.retain.labels.device
        num_forget, num_retain = global_counts(len(batch.forget), len(batch.retain), device=device)
        pull, push = self._sides(context, batch, out, frozen, num_forget)
        terms = {
            "pull_loss": pull / max(num_forget, 1),
            "push_loss": push / max(num_forget, 1),
            "retain_loss": fit_share(out, batch.parts, "retain", num_retain),
            "drift": _drift(out, frozen) / max(num_retain, 1),
        }
        weights = self.lambda_pull, self.lambda_push, self.lambda_retain, self.lambda_drift
        total = torch.stack([w * term for w, term in zip(weights, terms.values(), strict=True)]).sum()
        if self.lambda_dispersion:
            terms["dispersion"] = dispersion_share(in_full(out["forget"].embedding), num_forget)
            total = total + self.lambda_dispersion * terms["dispersion"]
        return Losses(total, detached(terms | {"loss": total}))

    def _sides(
        self, context: StepContext, batch: UnlearnBatch, out: Sets, frozen: Sets, num_forget: int
    ) -> tuple[Tensor, Tensor]:
        """Return (pull, push): sums over local forget images, and over their captions if the text tower is trained."""
        numbers = caption_numbers(batch.forget, [batch.forget, batch.retain])
        prompts = _prompts(context.model, context.forget_classes)
        names = ("forget", f"forget {TEXTS}", f"retain {TEXTS}")
        pull, push = self._one_side(context, out, frozen, numbers, names, prompts)
        if out[f"forget {TEXTS}"].embedding.requires_grad:
            mirrored = (f"forget {TEXTS}", "forget", "retain")
            more = self._one_side(context, out, frozen, numbers, mirrored, prompts[:0])
            pull, push = (pull + more[0]) / 2, (push + more[1]) / 2
        return pull, push

    def _one_side(
        self, context: StepContext, out: Sets, frozen: Sets, numbers: Numbers, names: tuple[str, str, str], more: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Contrast anchors with forget and retain rows of the other modality of all ranks; ``more`` (P, D) push too."""
        anchor, forget_keys, retain_keys = names
        anchors, retained = in_full(out[anchor].embedding), gather_embeddings(out, [retain_keys])
        forgotten = torch.cat([gather_embeddings(out, [forget_keys]), more.to(retained)])
        keys = torch.cat([forgotten, retained])
        scale, (was, were) = scale_of(frozen[anchor]), _frozen(frozen, anchor, retain_keys)
        floor, ceiling = (context.state[bound].to(keys) for bound in ("floor", "ceiling"))
        if len(more):  # of a class, where retain images lie from its prompts now: they move with the forgotten ones
            floor = (gather_embeddings(out, ["retain"]).detach() @ more.to(retained).T).mean()

        def part(rows: slice) -> tuple[Tensor, Tensor]:
            same = same_text(numbers[0][rows], numbers[1])
            own, others = torch.split(same, [same.shape[1] - len(retained), len(retained)], 1)
            if context.request_kind == "class":  # every caption of the concept is pushed from
                own = torch.ones_like(own)
            pushes = torch.cat([own, own.new_ones(len(own), len(more)), others], 1)
            push = push_to_floor(anchors[rows] @ keys.T, pushes, floor, self.temperature)
            weights = self._weights(scale * was[rows] @ were.T, ~others)
            return pull_to_ceiling(anchors[rows] @ retained.T, weights, ceiling, self.temperature), push

        pull, push = by_rows(len(anchors), len(keys), part)
        return pull.sum(), push.sum()

    def _weights(self, answers: Tensor, allowed: Tensor) -> Tensor:
        """Return the weights of the retain rows that may pull, (n, M): the original's answer, mixed with uniform."""
        answered = answers.masked_fill(~allowed, -torch.inf).softmax(1).nan_to_num(0)
        uniform = allowed.to(answered) / allowed.sum(1, keepdim=True).clamp_min(1)
        return (1 - self.uniform_pull) * answered + self.uniform_pull * uniform


def _prompts(model: Classifier, classes: Sequence[int]) -> Tensor:
    """Return the embeddings of these classes' prompts in every template, (P, D); none for sample requests."""
    assert isinstance(model, ImageTextClassifier)
    return model.class_features()[:, list(classes)].flatten(0, 1)


def _frozen(frozen: Sets, anchor: str, keys: str) -> tuple[Tensor, Tensor]:
    """Return what the original makes of the local anchors, (n, D), and of the keys of all ranks, (M, D)."""
    return in_full(frozen[anchor].embedding), gather_embeddings(frozen, [keys])


def _drift(out: Sets, frozen: Sets) -> Tensor:
    """Compute the sum over local retain images and captions of 1 - cosine to the original's."""
    names = ["retain", f"retain {TEXTS}"]
    images, texts = (drift_sum(in_full(out[n].embedding), in_full(frozen[n].embedding)) for n in names)
    return images + texts
