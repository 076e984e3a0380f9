"""Contrastive unlearning (Lee et al., IJCAI 2025, arXiv 2401.10458), as sums over local anchors.

N anchors (forget rows of this rank), M retain rows (of all ranks), D embedding width. Embeddings have unit norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cu_core.dist import gather_rows, rank, sum_over_ranks, world_size
from cu_core.errors import UserError
from cu_core.losses.blocks import sum_by_rows


class Embedded(NamedTuple):
    """Rows as the loss sees them."""

    unit: Tensor
    """Embeddings of unit norm, (rows, D)."""
    labels: Tensor
    """(rows,)."""


class AnchorTerms(NamedTuple):
    """Parts of equations 5 and 6 for each anchor, each (N,)."""

    pull: Tensor
    """- weighted mean similarity / tau to the rows that pull (softmax form: plus their log-sum-exp), or 0."""
    push: Tensor
    """log-sum-exp of similarity / tau to retain rows of the same class; 0 where there are none."""
    num_other: Tensor
    """|N(i)|: retain rows of another class."""
    num_same: Tensor
    """|P(i)|: retain rows of the same class."""


def anchor_terms(
    anchors: Embedded,
    retain: Embedded,
    *,
    temperature: float,
    pull_weights_NM: Tensor | None = None,
    own_class_pulls: bool = False,
    softmax_pull: bool = False,
) -> AnchorTerms:
    """Compute the two parts of equation 5 in the form ``L_i = - mean_{N(i)} s_ia + logsumexp_{P(i)} s_ip``.

    Equation 6 (class requests, P(i) empty) is the pull plus the constant log|N(i)|, which has no gradient.

    Args:
        anchors: The anchors, N rows.
        retain: The retain rows, M rows.
        temperature: tau; positive.
        pull_weights_NM: Weights that replace the mean over N(i) by a weighted mean, (N, M). They are normalised here.
        own_class_pulls: Whether retain rows of the anchor's class also pull, with their weights.
        softmax_pull: Whether logsumexp_{N(i)} s_ia is added to the pull. It is then the cross-entropy between the
            weights and the softmax of the similarities (InfoNCE with soft targets), which has a different optimum for
            every anchor. The paper's linear form has the same optimum for all anchors.

    Returns:
        The parts.

    Raises:
        UserError: The temperature is not positive.
    """
    if temperature <= 0:
        raise UserError(f"temperature must be positive, got {temperature}.")
    scores = anchors.unit @ retain.unit.T / temperature
    same = anchors.labels[:, None] == retain.labels[None, :]
    pulls = torch.ones_like(same) if own_class_pulls else ~same
    weights = pulls.to(scores.dtype)
    if pull_weights_NM is not None:
        weights = weights * pull_weights_NM.to(scores.dtype)
    mass = weights.sum(1)
    pull = -(scores * weights).sum(1) / torch.where(mass > 0, mass, 1)
    if softmax_pull:
        pull = pull + torch.where(mass > 0, _masked_logsumexp(scores, pulls), 0)
    push = _masked_logsumexp(scores, same)
    return AnchorTerms(pull, push, (~same).sum(1), same.sum(1))


def _masked_logsumexp(scores_NM: Tensor, mask_NM: Tensor) -> Tensor:
    """Compute the log-sum-exp over the mask, (N,); 0 for rows without any entry.

    Such rows get a finite score before the log-sum-exp, since its gradient is NaN where all scores are -inf.
    """
    if not scores_NM.shape[1]:
        return scores_NM.sum(1)
    any_row = mask_NM.any(1)
    masked = torch.where(any_row[:, None], scores_NM.masked_fill(~mask_NM, -torch.inf), torch.zeros_like(scores_NM))
    return torch.where(any_row, torch.logsumexp(masked, 1), 0)


def class_weights(shares_NC: Tensor, retain_labels_M: Tensor) -> Tensor:
    """Distribute each class's share of an anchor evenly over the batch's rows of the class, (N, M)."""
    per_class = retain_labels_M.new_zeros(shares_NC.shape[1])  # torch.bincount waits for the device
    per_class.index_add_(0, retain_labels_M, torch.ones_like(retain_labels_M))
    return shares_NC[:, retain_labels_M] / per_class[retain_labels_M].clamp_min(1)


def without_classes(probs_NC: Tensor, labels_N: Tensor, forget_classes: Sequence[int] = ()) -> Tensor:
    """Return what the original would answer if it knew neither the row's own class nor the forgotten classes, (N, C).

    These classes are masked and the rest is renormalised. Rows whose whole answer is masked are zero.

    Args:
        probs_NC: Class probabilities of the original, (N, C).
        labels_N: Labels of the rows, (N,).
        forget_classes: Forgotten classes.

    Returns:
        Class probabilities, (N, C).
    """
    masked = probs_NC.scatter(1, labels_N[:, None], 0.0)
    masked[:, list(forget_classes)] = 0.0
    return masked / masked.sum(1, keepdim=True).clamp_min(torch.finfo(masked.dtype).tiny)


def dispersion_share(anchors_ND: Tensor, num_anchors: int) -> Tensor:
    """Compute this rank's share of the mean cosine over all ordered pairs of distinct anchors of all ranks."""
    everyone = gather_rows(anchors_ND)
    first = 0
    if world_size() > 1:
        sizes = gather_rows(torch.tensor([len(anchors_ND)], device=anchors_ND.device)).tolist()
        first = sum(sizes[: rank()])
    total = sum_by_rows(
        len(anchors_ND), len(everyone), lambda b: dispersion_sum(anchors_ND[b], everyone, first + b.start)
    )
    return total / max(num_anchors * (num_anchors - 1), 1)


def kept_cosine_share(anchors_ND: Tensor, num_anchors: int, target: Tensor) -> Tensor:
    """Compute this rank's share of (m - target)^2.

    m is the mean cosine over all ordered pairs of distinct anchors of all ranks. Summed over ranks, value and gradient
    are those of the whole.

    Args:
        anchors_ND: Unit embeddings of the local anchors, (N, D).
        num_anchors: Number of anchors of all ranks.
        target: Scalar.

    Returns:
        Scalar.
    """
    share = dispersion_share(anchors_ND, num_anchors)
    off = sum_over_ranks(share) - target
    return off.square() / world_size() + 2 * off * (share - share.detach())


def dispersion_sum(local_ND: Tensor, all_AD: Tensor, first: int) -> Tensor:
    """Compute the sum of cosines between local anchors and all other anchors.

    Args:
        local_ND: Unit embeddings of the local anchors, (N, D).
        all_AD: Unit embeddings of all anchors, (A, D).
        first: Position of the first local anchor in ``all_AD``.

    Returns:
        Scalar.
    """
    cosine = local_ND @ all_AD.T
    own = cosine.diagonal(offset=first) if len(local_ND) else cosine.new_zeros(0)
    return cosine.sum() - own.sum()
