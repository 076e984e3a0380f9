"""Losses between images and texts, as sums over local rows; keys are gathered over ranks by the caller.

n local images or texts, M images or texts of all ranks, D embedding width. Embeddings have unit norm.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.errors import UserError


def same_text(local_ids_n: Tensor, all_ids_M: Tensor) -> Tensor:
    """Return whether two rows have the same caption, by the caption's number, bool (n, M)."""
    return local_ids_n[:, None] == all_ids_M[None, :]


def info_nce_sum(local_nD: Tensor, all_MD: Tensor, same_nM: Tensor, scale: Tensor | float) -> Tensor:
    """Compute one direction of the contrast of pairs (InfoNCE).

    It is the sum over local rows of the cross-entropy between the softmax of the scaled similarities and the row's
    matches, which share the target mass: rows with the same caption are not negatives of each other. In Radford et al.
    2021, arXiv 2103.00020, fig. 3, the mass is on the diagonal only. A step adds images against texts and texts against
    images, and halves the sum.

    Args:
        local_nD: Unit embeddings of the local rows, (n, D).
        all_MD: Unit embeddings of the other modality over all ranks, (M, D).
        same_nM: Which pairs match, bool (n, M).
        scale: Factor of the similarities.

    Returns:
        Scalar.

    Raises:
        UserError: A row matches nothing; its own caption must be among ``all_MD``.
    """
    if len(same_nM):
        _check_matches(same_nM)
    targets = same_nM.to(local_nD.dtype)
    targets = targets / targets.sum(1, keepdim=True).clamp_min(1)
    return -(targets * (scale * local_nD @ all_MD.T).log_softmax(1)).sum()


def _check_matches(same_nM: Tensor) -> None:
    """Check that every row has a match; on a GPU without waiting for it."""
    told = "a row has no match among the gathered rows; its own must be one of them."
    found = same_nM.any(1).all()
    if found.is_cuda:
        torch._assert_async(found, told)
    elif not bool(found):
        raise UserError(told)


def sigmoid_sum(
    local_nD: Tensor, all_MD: Tensor, same_nM: Tensor, scale: Tensor | float, bias: Tensor | float
) -> Tensor:
    """Compute the sigmoid loss of pairs (SigLIP: Zhai et al. 2023, arXiv 2303.15343, eq. 1).

    It is the sum over local rows and all others of -log sigmoid(z (scale s + bias)), with z = 1 for the same caption
    and -1 otherwise. One direction is the whole loss.

    Args:
        local_nD: Unit embeddings of the local rows, (n, D).
        all_MD: Unit embeddings of the other modality over all ranks, (M, D).
        same_nM: Which pairs match, bool (n, M).
        scale: Factor of the similarities.
        bias: Added to the scaled similarities.

    Returns:
        Scalar.
    """
    sign = torch.where(same_nM, 1.0, -1.0).to(local_nD.dtype)
    return -F.logsigmoid(sign * (scale * local_nD @ all_MD.T + bias)).sum()


def drift_sum(new_nD: Tensor, frozen_nD: Tensor) -> Tensor:
    """Compute the sum over rows of 1 - cosine to the embeddings of the frozen original."""
    return (1 - (new_nD * frozen_nD).sum(1)).sum()


def push_to_floor(similarity_nM: Tensor, push_nM: Tensor, floor: Tensor | float, temperature: float) -> Tensor:
    """Compute the log-sum-exp over the push set of similarity / temperature, with similarities held at ``floor``.

    A similarity at the floor, that of unmatched pairs, is not pushed further down: the goal is *unmatched*, not
    *opposite*.

    Args:
        similarity_nM: Cosines, (n, M).
        push_nM: The push set of each row, bool (n, M).
        floor: Lower bound of the similarities.
        temperature: tau; positive.

    Returns:
        (n,); 0 for rows whose push set is empty.

    Raises:
        UserError: The temperature is not positive.
    """
    _check(temperature)
    held = similarity_nM.clamp_min(floor) / temperature
    any_row = push_nM.any(1)
    held = torch.where(any_row[:, None], held.masked_fill(~push_nM, -torch.inf), torch.zeros_like(held))
    return torch.where(any_row, torch.logsumexp(held, 1), 0)


def pull_to_ceiling(similarity_nM: Tensor, weights_nM: Tensor, ceiling: Tensor | float, temperature: float) -> Tensor:
    """Compute minus the weighted mean of similarity / temperature, with similarities held at ``ceiling``.

    The ceiling is the mean similarity of matched pairs.

    Args:
        similarity_nM: Cosines, (n, M).
        weights_nM: Weights of the mean, (n, M).
        ceiling: Upper bound of the similarities.
        temperature: tau; positive.

    Returns:
        (n,); 0 for rows without weight.

    Raises:
        UserError: The temperature is not positive.
    """
    _check(temperature)
    mass = weights_nM.sum(1)
    held = similarity_nM.clamp_max(ceiling) / temperature
    return -(held * weights_nM).sum(1) / torch.where(mass > 0, mass, 1)


def _check(temperature: float) -> None:
    if temperature <= 0:
        raise UserError(f"temperature must be positive, got {temperature}.")
