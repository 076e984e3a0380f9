"""How sure a model would be of rows it never saw: as sure as it is of unseen rows of the same rank."""

from __future__ import annotations

import torch
from torch import Tensor

PEERS = 32
"""Rows among which a row's rank is looked up."""


def sure_as_peers(agree_F: Tensor, sure_F: Tensor, agree_U: Tensor, sure_U: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate how sure a model that never saw F forget rows would be of them, from U unseen rows.

    For each forget row, the ``PEERS`` unseen rows with the most similar agreement are taken. The estimate is the
    certainty of the one among them that has the same rank by certainty as the forget row has among forget rows of
    similar agreement.

    Args:
        agree_F: How much the neighbours of each forget row agree with its label, 0 to 1.
        sure_F: How sure the original is of each forget row's label, 0 to 1.
        agree_U: The same agreement for unseen rows.
        sure_U: The same certainty for unseen rows.

    Returns:
        The estimated certainty, (F,), and the number of unseen rows per forget row of that agreement (as shares of
        their sets), at most 1, (F,). The latter is small for a request of unusual rows, which have few peers among the
        unseen.
    """
    agree, order = agree_F.sort(stable=True)
    place = order.argsort()
    window = _around(place, len(agree))
    rivals = sure_F[order][window]
    below, equal = rivals < sure_F[:, None], rivals == sure_F[:, None]
    rank = below.to(sure_F).mean(1) + equal.to(sure_F).mean(1) / 2

    agree_unseen, order = agree_U.sort(stable=True)
    first, last = (torch.searchsorted(agree_unseen, agree_F.contiguous(), right=right) for right in (False, True))
    answers = sure_U[order][_around((first + last) // 2, len(agree_unseen))].sort(1).values
    found = answers.gather(1, (rank * (answers.shape[1] - 1)).round().long()[:, None])[:, 0]

    low, high = agree[window[:, 0]], agree[window[:, -1]]
    usual = _share_within(agree_unseen, low, high) / _share_within(agree, low, high)
    return found, usual.clamp_max(1)


def _around(place: Tensor, count: int) -> Tensor:
    """Return the positions that surround each place of a list of ``count``, at most ``PEERS``, (N, W)."""
    width = min(PEERS, count)
    first = (place - width // 2).clamp(0, count - width)
    return first[:, None] + torch.arange(width, device=place.device)


def _share_within(ascending: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the share of the values from low to high, both included, (N,)."""
    first, last = torch.searchsorted(ascending, low), torch.searchsorted(ascending, high, right=True)
    return (last - first).to(ascending) / len(ascending)
