from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cu_core.data.forget_split import ForgetSplit
from cu_core.data.requests import ByClass, ByRandom, resolve_request
from cu_core.data.shard_reader import ShardReader
from cu_core.methods.base import Preparation
from cu_core.methods.guidance import NEIGHBOURS, SHARPNESS, bank_rows, neighbour_shares
from cu_core.types import Outputs


class Pixels(torch.nn.Module):
    """The hidden feature is the image, the logits are its first pixels."""

    tokenize = None

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> Outputs:
        x = images.flatten(1).float()
        return Outputs(logits=x[:, :10], embedding=x, hidden=x)


def test_shares_are_those_of_the_nearest_retain_rows(reader: ShardReader) -> None:
    forget = resolve_request(ByRandom(count=30, seed=1), reader)
    split = ForgetSplit(reader, forget, seed=0, stop_rows=100, max_rows=500)
    prep = Preparation(Pixels(), None, split, 0, {})  # type: ignore[arg-type]
    rows = bank_rows(prep, 300)
    assert len(rows) == 300
    assert not np.intersect1d(rows, forget.rows).size
    ids, shares, excess, forwarded = neighbour_shares(prep, 300)
    assert forwarded == 330
    assert ((excess >= 0) & (excess <= 1)).all()
    assert ids.tolist() == sorted(forget.sample_ids.tolist())
    torch.testing.assert_close(shares.sum(1), torch.ones(30))

    def feature(which: Any) -> np.ndarray:
        x = reader.images("train", which).flatten(1).double().numpy()
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    labels = reader.labels("train", rows)
    place = int(np.flatnonzero(forget.sample_ids == int(ids[4]))[0])
    cosine = feature(forget.rows[place : place + 1])[0] @ feature(rows).T
    nearest = np.argsort(cosine)[-NEIGHBOURS:]
    votes = np.exp(cosine[nearest] / SHARPNESS)
    expected = np.bincount(labels[nearest], votes / votes.sum(), minlength=10)
    np.testing.assert_allclose(shares[4].numpy(), expected, atol=1e-4)


def test_with_peers_the_same_training_rows_are_forwarded(reader: ShardReader) -> None:
    forget = resolve_request(ByRandom(count=60, seed=1), reader)
    split = ForgetSplit(reader, forget, seed=0, stop_rows=100, max_rows=500)
    prep = Preparation(Pixels(), None, split, 0, {})  # type: ignore[arg-type]
    near, peers = neighbour_shares(prep, 300), neighbour_shares(prep, 300, peers=True)
    assert peers.rows == near.rows == 360
    torch.testing.assert_close(peers.shares.sum(1), torch.ones(60))
    assert not torch.equal(near.shares, peers.shares)


def test_smoothing_gives_nothing_to_a_forgotten_class(reader: ShardReader) -> None:
    split = ForgetSplit(reader, resolve_request(ByClass(classes=(3, 8)), reader), seed=0, stop_rows=100, max_rows=500)
    prep = Preparation(Pixels(), None, split, 0, {})  # type: ignore[arg-type]
    plain, smooth = neighbour_shares(prep, 300), neighbour_shares(prep, 300, smoothing=5.0)
    assert (smooth.shares[:, [3, 8]] == 0).all()
    kept = [c for c in range(10) if c not in (3, 8)]
    expected = (NEIGHBOURS * plain.shares[:, kept] + 5 / 8) / (NEIGHBOURS + 5)
    torch.testing.assert_close(smooth.shares[:, kept], expected)
