"""Losses between images and texts, as sums over local rows; keys are gathered over ranks by the caller.

n local images or texts, M images or texts of all ranks, D embedding width. Embeddings have unit norm.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.errors import UserError


def same_text(local_ids_n: Tensor, all_ids_M: Tensor) -> Tensor:
    """(n, M): whether two rows have the same caption, by its number."""
    return local_ids_n[:, None] == all_ids_M[None, :]


def info_nce_sum(local_nD: Tensor, all_MD: Tensor, same_nM: Tensor, scale: Tensor | float) -> Tensor:
    """Sum over local rows of the cross-entropy between the softmax of scaled similarities and the row's own matches,
    which share its mass: of B captions that are alike, none is the wrong one (Radford et al. 2021, arXiv 2103.00020,
    fig. 3, has mass on the diagonal only).

    One direction; a step adds images against texts and texts against images, and halves.

    Raises: UserError if a row matches nothing; its own caption must be among ``all_MD``.
    """
    if len(same_nM) and not bool(same_nM.any(1).all()):
        raise UserError("a row has no match among the gathered rows; its own must be one of them.")
    targets = same_nM.to(local_nD.dtype)
    targets = targets / targets.sum(1, keepdim=True).clamp_min(1)
    return -(targets * (scale * local_nD @ all_MD.T).log_softmax(1)).sum()


def sigmoid_sum(
    local_nD: Tensor, all_MD: Tensor, same_nM: Tensor, scale: Tensor | float, bias: Tensor | float
) -> Tensor:
    """Sum over local rows and all others of -log sigmoid(z (scale s + bias)), z = 1 for the same caption, else -1
    (SigLIP: Zhai et al. 2023, arXiv 2303.15343, eq. 1). One direction is the whole."""
    sign = torch.where(same_nM, 1.0, -1.0).to(local_nD.dtype)
    return -F.logsigmoid(sign * (scale * local_nD @ all_MD.T + bias)).sum()


def drift_sum(new_nD: Tensor, frozen_nD: Tensor) -> Tensor:
    """Sum over rows of 1 - cosine to what the frozen original gives them."""
    return (1 - (new_nD * frozen_nD).sum(1)).sum()


def push_to_floor(similarity_nM: Tensor, push_nM: Tensor, floor: float, temperature: float) -> Tensor:
    """(n,): log-sum-exp over the push set of similarity / temperature, held at ``floor``: what is pushed down to the
    similarity of unmatched pairs is pushed no further, for *unmatched* is the goal and not *opposite*. 0 without any.

    Raises: UserError if temperature is not positive.
    """
    _check(temperature)
    held = similarity_nM.clamp_min(floor) / temperature
    any_row = push_nM.any(1)
    held = torch.where(any_row[:, None], held.masked_fill(~push_nM, -torch.inf), torch.zeros_like(held))
    return torch.where(any_row, torch.logsumexp(held, 1), 0)


def pull_to_ceiling(similarity_nM: Tensor, weights_nM: Tensor, ceiling: float, temperature: float) -> Tensor:
    """(n,): minus the weighted mean of similarity / temperature, held at ``ceiling``, the mean similarity of matched
    pairs. 0 for rows without weight.

    Raises: UserError if temperature is not positive.
    """
    _check(temperature)
    mass = weights_nM.sum(1)
    held = similarity_nM.clamp_max(ceiling) / temperature
    return -(held * weights_nM).sum(1) / torch.where(mass > 0, mass, 1)


def _check(temperature: float) -> None:
    if temperature <= 0:
        raise UserError(f"temperature must be positive, got {temperature}.")
