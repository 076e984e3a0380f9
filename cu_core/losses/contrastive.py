"""Contrastive unlearning (Lee et al., IJCAI 2025, arXiv 2401.10458), as sums over local anchors.

N anchors (forget rows of this rank), M retain rows (of all ranks), D embedding width. Embeddings have unit norm.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class AnchorTerms(NamedTuple):
    """Per-anchor parts of equations 5 and 6, each (N,)."""

    pull: Tensor
    """- mean similarity / tau to retain rows of other classes; 0 where there are none."""
    push: Tensor
    """log-sum-exp of similarity / tau to retain rows of the same class; 0 where there are none."""
    num_other: Tensor
    """|N(i)|: retain rows of another class."""
    num_same: Tensor
    """|P(i)|: retain rows of the same class."""


def anchor_terms(
    anchors_ND: Tensor,
    labels_N: Tensor,
    retain_MD: Tensor,
    retain_labels_M: Tensor,
    *,
    temperature: float,
    pull_weights_NM: Tensor | None = None,
) -> AnchorTerms:
    """Equation 5 in the form ``L_i = - mean_{N(i)} s_ia + logsumexp_{P(i)} s_ip``, its two parts apart.

    Equation 6 (class requests, P(i) empty) is the pull plus the constant log|N(i)|, which has no gradient.

    ``pull_weights_NM`` replaces the mean over N(i) by a weighted one (weights over N(i) are normalised here).
    Raises: ValueError if temperature is not positive.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}.")
    scores = anchors_ND @ retain_MD.T / temperature
    same = labels_N[:, None] == retain_labels_M[None, :]
    weights = (~same).to(scores.dtype)
    if pull_weights_NM is not None:
        weights = weights * pull_weights_NM.to(scores.dtype)
    mass = weights.sum(1)
    pull = -(scores * weights).sum(1) / torch.where(mass > 0, mass, 1)
    any_same = same.any(1)
    masked = scores.masked_fill(~same, -torch.inf)
    # Rows without P get a harmless score before the log-sum-exp: its gradient at all -inf is not a number.
    masked = torch.where(any_same[:, None], masked, torch.zeros_like(scores))
    push = torch.where(any_same, torch.logsumexp(masked, 1), 0) if scores.shape[1] else scores.sum(1)
    return AnchorTerms(pull, push, (~same).sum(1), same.sum(1))


def tilted_weights(original_probs_NC: Tensor, labels_N: Tensor, retain_labels_M: Tensor) -> Tensor:
    """(N, M): retain row a weighs what the original would answer for its class if it did not know the anchor's own.

    p0(y_a | x_i) with the anchor's class masked, renormalised, spread over the batch's rows of class y_a.
    """
    masked = original_probs_NC.scatter(1, labels_N[:, None], 0.0)
    masked = masked / masked.sum(1, keepdim=True).clamp_min(torch.finfo(masked.dtype).tiny)
    per_class = torch.bincount(retain_labels_M, minlength=original_probs_NC.shape[1])
    return masked[:, retain_labels_M] / per_class[retain_labels_M].clamp_min(1)


def dispersion_sum(local_ND: Tensor, all_AD: Tensor, first: int) -> Tensor:
    """Sum of cosines between local anchors and all other anchors; ``first`` is the local rows' place in ``all_AD``."""
    cosine = local_ND @ all_AD.T
    own = cosine.diagonal(offset=first) if len(local_ND) else cosine.new_zeros(0)
    return cosine.sum() - own.sum()
