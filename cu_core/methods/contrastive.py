"""Contrastive unlearning (Lee et al., IJCAI 2025, arXiv 2401.10458), equations 5 to 7, and measured variants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.bounds import BankRows, Positive, Weight
from cu_core.data.order import EpochOrder
from cu_core.dist import gather_rows, global_counts
from cu_core.errors import UserError
from cu_core.losses.blocks import by_rows
from cu_core.losses.classification import cross_entropy_share, soft_cross_entropy_share
from cu_core.losses.contrastive import (
    AnchorTerms,
    Embedded,
    anchor_terms,
    class_weights,
    dispersion_sum,
    kept_cosine_share,
    without_classes,
)
from cu_core.methods.bank import gather_measured
from cu_core.methods.base import EVERY_MODEL, Method, Need, Preparation, StepContext, detached, require
from cu_core.methods.fit import in_full
from cu_core.methods.forests import forest_shares
from cu_core.salts import Salt
from cu_core.types import Batch, Losses, Outputs, RequestKind, UnlearnBatch

COSINE_ROWS = 128
"""Most forget rows on which the original's mean cosine is measured."""
LOOSENED = 1.12
"""How much larger 1 - cosine is in models that never learned a class: Fashion-MNIST, classes 7, 6, 3, 2."""


@dataclass(frozen=True, kw_only=True)
class Contrastive(Method):
    """Forget embeddings are pulled to retain rows of other classes, and pushed away from those of their own class."""

    name: Literal["contrastive"] = "contrastive"
    source: ClassVar[str] = "Lee et al. 2025, arXiv 2401.10458, eq. 5 to 7"
    models = EVERY_MODEL
    image_tower_only = True
    terms: Literal["both", "pull", "push"] = "both"
    """Parts of equation 5 that are used. A class request has no push (equation 6)."""
    temperature: Positive = 0.5
    """tau. For a class request, only ``lambda_ul / temperature`` matters."""
    lambda_ul: Weight = 1.0
    """Weight of the unlearning loss."""
    lambda_ce: Weight = 1.0
    """Weight of the cross-entropy on retain rows."""
    detach_retain: bool = True
    """No gradient through the retain embeddings (the paper lets it flow)."""
    pull_weights: Literal["uniform", "tilted", "forests"] = "uniform"
    """The target: how the classes of retain rows are weighted in the pull. ``uniform``: all alike. ``tilted``: by the
    original's answer with the forgotten classes masked. ``forests``: by random forests on pixels and lower layers,
    fitted on retain rows, together with a head."""
    push_weights: Literal["uniform", "excess"] = "uniform"
    """How strongly an anchor is pushed. ``excess``: by how much more confident the original is of its class than the
    target. Samples that are not memorised are not pushed."""
    pull_form: Literal["linear", "softmax"] = "linear"
    """``linear``: the paper's mean similarity; ``softmax``: cross-entropy between the weights and the softmax of the
    similarities."""
    bank: BankRows = 1500
    """Number of retain rows on which forests are fitted."""
    lambda_prototype: Weight = 0.0
    """Weight of the soft relabelling: cross-entropy between the target and the anchor's softmax over all classes, with
    the classifier's rows as prototypes. The head forgets too, not the embedding alone."""
    lambda_cosine: Weight = 0.0
    """Weight of the kept cosine: the squared difference between the mean cosine among forget rows of the batch and
    the value expected of a model that never learned them, which is a little less than the original's
    (docs/results/targets.md)."""
    feature: Literal["embedding", "hidden"] = "embedding"
    """Layer whose output is contrasted."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise UserError(f"temperature must be positive, got {self.temperature}")
        if min(self.lambda_ul, self.lambda_ce, self.lambda_prototype, self.lambda_cosine) < 0:
            raise UserError("lambda_ul, lambda_ce, lambda_prototype and lambda_cosine must not be negative")
        if self.bank < 1:
            raise UserError("bank must be at least 1")

    def needs(self) -> frozenset[Need]:
        """Also the frozen original for ``tilted``."""
        own: set[Need] = {"frozen original"} if self.pull_weights == "tilted" else set()
        return super().needs() | own

    def needs_positives(self, request_kind: RequestKind) -> bool:
        """For the push of a sample request."""
        return request_kind == "sample" and self.terms != "pull" and self.lambda_ul > 0

    @property
    def looks_up(self) -> bool:
        """Whether the weights of the pull are computed once, in ``prepare``."""
        return self.pull_weights == "forests"

    def rows_to_prepare(self, num_forget: int, num_retain: int, num_classes: int) -> int:
        """The forget rows and the bank if weights are looked up; also the rows on which the cosine is measured."""
        looked_up = num_forget + min(self.bank, num_retain) if self.looks_up else 0
        return looked_up + (min(num_forget, COSINE_ROWS) if self.lambda_cosine else 0)

    def prepare(self, prep: Preparation) -> int:
        """Compute the pull weights of the forget rows, and the target of their mean cosine, if they are used."""
        rows = self._look_up(prep) if self.looks_up else 0
        if self.lambda_cosine:
            chosen = prep.split.forget.rows
            order = EpochOrder(len(chosen), prep.seed + Salt.COSINE_ROWS).at(0, min(len(chosen), COSINE_ROWS))
            (embedding,), mine = gather_measured(
                prep, np.sort(chosen[order]), lambda batch: (self._unit(prep.model(batch.images)),)
            )
            count = len(embedding)
            cosine = dispersion_sum(embedding, embedding, 0) / max(count * (count - 1), 1)
            prep.state["cosine"] = 1 - LOOSENED * (1 - cosine)
            rows += mine
        return rows

    def _look_up(self, prep: Preparation) -> int:
        found = forest_shares(prep, self.bank)
        prep.state.update({"ids": found.sample_ids, "shares": found.shares, "excess": found.excess})
        return found.rows

    def rows_per_step(self, forget: int, retain: int) -> float:
        """``tilted`` forwards forget rows through the original too."""
        return retain + forget * (2 if self.pull_weights == "tilted" else 1)

    def check(self, request_kind: RequestKind) -> None:
        """Reject settings that have no effect together or on this kind of request."""
        if request_kind == "class" and self.terms == "push":
            raise UserError(
                "method.terms=push has no effect on a class request: no retain row shares the class, so "
                "the loss is zero (equation 6). Use terms=pull or both."
            )
        weights_idle = self.pull_weights != "uniform" and not self.lambda_prototype
        if self.terms == "push" and (weights_idle or self.pull_form != "linear"):
            raise UserError("method.pull_weights and method.pull_form have no effect with method.terms=push.")
        if not self.looks_up and self.bank != type(self).bank:
            raise UserError("method.bank has no effect without method.pull_weights=forests.")
        if self.push_weights == "excess" and (not self.looks_up or self.terms == "pull"):
            raise UserError("method.push_weights=excess needs method.pull_weights=forests, and a push.")
        if self.lambda_prototype and self.pull_weights == "uniform":
            raise UserError("method.lambda_prototype needs method.pull_weights=tilted or forests.")
        idle = self.pull_form != "linear" or self.terms != "both"
        if self.lambda_ul == 0 and (idle or weights_idle):
            raise UserError(
                "method.lambda_ul=0 switches the unlearning loss off: terms, pull_form and pull_weights then have no "
                "effect."
            )

    def _unit(self, out: Outputs) -> Tensor:
        feature = out.embedding if self.feature == "embedding" else out.hidden
        return F.normalize(in_full(feature), dim=-1)

    def _keys(self, out: Outputs, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the retain embeddings of all ranks, (M, D), and their labels, (M,)."""
        local = self._unit(out)
        return gather_rows(local.detach() if self.detach_retain else local), gather_rows(labels)

    def _shares(self, context: StepContext, forget: Batch) -> Tensor | None:
        """Return how much each class pulls each anchor, (N, C); ``None`` if all rows of other classes pull equally."""
        if self.pull_weights == "tilted":
            probs = require(context.reference)({"forget": forget.images})["forget"].logits.softmax(1)
            return without_classes(probs, forget.labels, context.forget_classes)
        return self._looked_up(context, "shares", forget) if self.looks_up else None

    def _push_weights(self, context: StepContext, forget: Batch) -> Tensor:
        """Return the weight of each anchor's push, (N,)."""
        uniform = self.push_weights == "uniform"
        return torch.ones_like(forget.labels) if uniform else self._looked_up(context, "excess", forget)

    def _looked_up(self, context: StepContext, name: str, forget: Batch) -> Tensor:
        """Return the rows of a tensor that ``prepare`` stored."""
        place = torch.searchsorted(context.state["ids"].to(forget.sample_ids), forget.sample_ids)
        return context.state[name].to(forget.labels.device)[place]

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """Equation 5 (class requests: 6), the cross-entropy on retain rows, and the further terms of the settings."""
        images = {"forget": batch.forget.images, "retain": batch.retain.images}
        out = context.forward(images)
        forget_labels = batch.forget.labels
        num_forget, num_retain = global_counts(len(batch.forget), len(batch.retain), device=forget_labels.device)
        anchors = self._unit(out["forget"])
        keys, key_labels = self._keys(out["retain"], batch.retain.labels)
        shares = self._shares(context, batch.forget)

        def terms_of(rows: slice) -> AnchorTerms:
            return anchor_terms(
                Embedded(anchors[rows], forget_labels[rows]),
                Embedded(keys, key_labels),
                temperature=self.temperature,
                pull_weights_NM=None if shares is None else class_weights(shares[rows], key_labels),
                own_class_pulls=self.looks_up,
                softmax_pull=self.pull_form == "softmax",
            )

        parts = AnchorTerms(*by_rows(len(anchors), len(keys), terms_of))
        push = parts.push * self._push_weights(context, batch.forget).to(parts.push)
        terms = {
            "pull_loss": parts.pull.sum() / max(num_forget, 1),
            "push_loss": push.sum() / max(num_forget, 1),
            "retain_loss": cross_entropy_share(out["retain"].logits, batch.retain.labels, num_retain),
        }
        used = [terms[f"{part}_loss"] for part in ("pull", "push") if self.terms in (part, "both")]
        unlearn = torch.stack(used).sum()
        total = self.lambda_ul * unlearn + self.lambda_ce * terms["retain_loss"]
        for weight, name, value in self._further(context, out["forget"], anchors, shares, num_forget):
            terms[name], total = value, total + weight * value
        terms |= {"unlearn_loss": unlearn, "loss": total}
        if context.request_kind == "sample":
            terms["frac_without_same_class"] = (parts.num_same == 0).to(total.dtype).sum() / max(num_forget, 1)
        return Losses(total, detached(terms))

    def _further(
        self, context: StepContext, out: Outputs, anchors: Tensor, shares: Tensor | None, count: int
    ) -> Iterator[tuple[float, str, Tensor]]:
        """Yield weight, name and value of the terms that are not in the paper."""
        if self.lambda_prototype:
            assert shares is not None
            yield self.lambda_prototype, "prototype_loss", soft_cross_entropy_share(out.logits, shares, count)
        if self.lambda_cosine:
            target = context.state["cosine"].to(anchors)
            yield self.lambda_cosine, "cosine_loss", kept_cosine_share(anchors, count, target)
