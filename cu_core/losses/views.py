"""Contrast of views, as shares of ranks. n local rows, M rows of all ranks, K rows of a queue, D width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.dist import gather_rows, rank, world_size


def views_share(local_nD: Tensor, numbers_n: Tensor, *, temperature: float) -> Tensor:
    """Compute this rank's share of the mean contrastive loss over the views of all ranks; every rank calls it.

    An anchor's positives are all other views with its number, its negatives all views with another:
    - mean_p log(exp(s_ip) / sum_{a != i} exp(s_ia)), s: cosine / temperature. With labels as numbers, it is SupCon
    (Khosla et al. 2020, arXiv 2004.11362, eq. 2). With one number for each row, it is NT-Xent of SimCLR (Chen et al.
    2020, arXiv 2002.05709, eq. 1). Value and gradient are pytorch-metric-learning's.

    Args:
        local_nD: Projections of the local views.
        numbers_n: Label or sample_id of each.
        temperature: Positive.

    Returns:
        Scalar.
    """
    from pytorch_metric_learning.losses import SupConLoss
    from pytorch_metric_learning.reducers import SumReducer

    everyone, numbers = gather_rows(local_nD), gather_rows(numbers_n)
    own = torch.arange(len(local_nD), device=local_nD.device) + _first_row(local_nD)
    if not len(local_nD):  # this rank still enters the backward collective
        return everyone.sum() * 0
    same = numbers_n[:, None] == numbers[None, :]
    others = same.scatter(1, own[:, None], False)
    pairs = (*torch.where(others), *torch.where(~same))
    loss: Tensor = SupConLoss(temperature, reducer=SumReducer())(local_nD, indices_tuple=pairs, ref_emb=everyone)
    return loss / len(everyone)


def _first_row(local_nD: Tensor) -> int:
    """Return the number of rows of the ranks before this one."""
    if world_size() == 1:
        return 0
    sizes = gather_rows(torch.tensor([len(local_nD)], device=local_nD.device))
    return int(sizes[: rank()].sum())


def queue_share(queries_nD: Tensor, keys_nD: Tensor, queue_KD: Tensor, count: int, *, temperature: float) -> Tensor:
    """Compute this rank's share of the mean InfoNCE loss against a queue of keys.

    Source: He et al. 2020 (MoCo), https://arxiv.org/abs/1911.05722, eq. 1.

    Args:
        queries_nD: Projections of the first views.
        keys_nD: Projections of the second views by the momentum encoder, at length one, without gradient.
        queue_KD: Earlier keys, at length one: the negatives.
        count: Number of queries over all ranks.
        temperature: Positive.

    Returns:
        Scalar.
    """
    queries = F.normalize(queries_nD, dim=1)
    scores = torch.cat([(queries * keys_nD).sum(1, keepdim=True), queries @ queue_KD.T], 1) / temperature
    own = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
    return F.cross_entropy(scores, own, reduction="sum") / max(count, 1)
