"""Estimates what a model that never saw a row would answer, from the row's nearest retain rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.data.order import EpochOrder, Rows
from cu_core.data.schema import Split
from cu_core.data.texts import load_batch
from cu_core.dist import gather_rows
from cu_core.errors import UserError
from cu_core.losses.contrastive import without_classes
from cu_core.methods.base import Preparation
from cu_core.methods.fit import in_full
from cu_core.methods.peers import sure_as_peers
from cu_core.salts import Salt
from cu_core.types import Batch

NEIGHBOURS = 10
SHARPNESS = 0.07
"""Temperature of the votes (Wu et al. 2018, arXiv 1805.01978, sec. 3.4)."""
FAINT = 1e-3
"""Weight of the original's own answer beside its neighbours': it decides only where all neighbours have one class."""


def bank_rows(prep: Preparation, count: int) -> Rows:
    """Return at most ``count`` retain rows, drawn at random."""
    split = prep.split
    drawn = EpochOrder(split.num_retain, prep.seed + Salt.BANK_ROWS).at(0, min(count, split.num_retain))
    return np.sort(split.retain_rows(drawn))


class Neighbours(NamedTuple):
    """What a model that never saw F forget rows would answer."""

    sample_ids: Tensor
    """(F,), ascending."""
    shares: Tensor
    """(F, C): probability of each class."""
    excess: Tensor
    """(F,): how much surer the original is of the row's class than that, 0 to 1: how far it has memorised the row."""
    rows: int
    """Training rows that this rank forwarded."""


class NeighbourFeatures(NamedTuple):
    """Outputs of the original on N rows."""

    sample_ids: Tensor
    feature: Tensor
    """(N, D), unit norm."""
    labels: Tensor
    probs: Tensor
    """(N, C)."""

    def own(self, probs: Tensor) -> Tensor:
        """Return the probability of each row's label, (N,)."""
        return probs.gather(1, self.labels[:, None])[:, 0]


def neighbour_shares(prep: Preparation, bank: int, smoothing: float = 0.0, peers: bool = False) -> Neighbours:
    """Compute for every forget row the classes of its nearest retain rows.

    Nearness is the cosine of the original's hidden feature, which memorises a row less than the embedding does.

    Args:
        prep: The original and the data.
        bank: Number of retain rows among which neighbours are searched.
        smoothing: Number of pseudo-neighbours that are spread over all classes that are not forgotten.
        peers: Whether the shares are averaged with the answer by ``sure_as_peers``, to the extent that the request
            consists of rows as they usually occur.

    Returns:
        Shares and excess of every forget row.

    Raises:
        UserError: ``peers`` finds no unseen row.
    """

    def measure(batch: Batch) -> tuple[Tensor, ...]:
        out = prep.model(batch.images)
        return batch.sample_ids, F.normalize(in_full(out.hidden), dim=-1), batch.labels, in_full(out.logits).softmax(1)

    def votes(rows: NeighbourFeatures) -> Tensor:
        similarity, nearest = (rows.feature @ keys.feature.T).topk(min(NEIGHBOURS, len(keys.labels)), dim=1)
        classes = F.one_hot(keys.labels[nearest], prep.num_classes).to(similarity)
        return ((similarity / SHARPNESS).softmax(1)[:, :, None] * classes).sum(1)

    columns, own = gather_measured(prep, prep.split.forget.rows, measure)
    forget = NeighbourFeatures(*columns)
    columns, more = gather_measured(prep, bank_rows(prep, bank), measure)
    keys = NeighbourFeatures(*columns)
    shares = votes(forget)
    if peers:
        unseen_rows = prep.split.stop_retain
        if not len(unseen_rows):
            raise UserError(
                "method.pull_weights=peers looks at unseen rows, and the val split has none; pack the data with a "
                "larger --val-frac, or set method.pull_weights=neighbours."
            )
        columns, _ = gather_measured(prep, unseen_rows.rows, measure, unseen_rows.split)
        shares = _with_peers(forget, shares, NeighbourFeatures(*columns), votes(NeighbourFeatures(*columns)))
    allowed = torch.ones_like(shares[0])
    allowed[list(prep.split.forget.classes)] = 0
    shares = (NEIGHBOURS * shares + smoothing * allowed / allowed.sum()) / (NEIGHBOURS + smoothing)
    excess = (forget.own(forget.probs) - forget.own(shares)).clamp_min(0)
    order = forget.sample_ids.argsort()
    return Neighbours(forget.sample_ids[order], shares[order], excess[order], own + more)


def _with_peers(forget: NeighbourFeatures, shares_FC: Tensor, unseen: NeighbourFeatures, shares_UC: Tensor) -> Tensor:
    """Average the neighbours' shares with the answer by peers, (F, C).

    The probability that peers do not give to a row's own class goes to other classes: in proportion to the neighbours'
    shares, and where all neighbours have one class in proportion to the original's answer.
    """
    certain, usual = sure_as_peers(
        forget.own(shares_FC), forget.own(forget.probs), unseen.own(shares_UC), unseen.own(unseen.probs)
    )
    rest = without_classes(shares_FC + FAINT * forget.probs, forget.labels)
    answers = ((1 - certain[:, None]) * rest).scatter(1, forget.labels[:, None], certain[:, None])
    return shares_FC + (answers - shares_FC) * usual[:, None] / 2


@torch.no_grad()
def gather_measured(
    prep: Preparation, rows: Rows, measure: Callable[[Batch], tuple[Tensor, ...]], split: Split = "train"
) -> tuple[tuple[Tensor, ...], int]:
    """Apply ``measure`` to rows and gather the results over all ranks.

    Args:
        prep: The original and the data.
        rows: Rows of the split.
        measure: Batch -> tensors with one entry for each row.
        split: The split.

    Returns:
        The gathered tensors, and the number of rows that this rank forwarded.
    """
    parts = [measure(batch) for batch in prep.batches(rows, split)]
    if not parts:  # a rank without rows still enters the collectives
        parts = [tuple(column[:0] for column in measure(_any_batch(prep)))]
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    return tuple(gather_rows(column) for column in columns), len(columns[0])


def _any_batch(prep: Preparation) -> Batch:
    return load_batch(prep.split.reader, "train", np.zeros(1, np.int64), prep.model.tokenize).to(prep.device)
