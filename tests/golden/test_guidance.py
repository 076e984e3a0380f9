from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cu_core.methods.guidance import bank_rows, neighbour_shares
from cu_core.types import Batch, UnlearnBatch
from tests.golden.plain_losses import Array, softmax, unit_rows
from tests.golden.test_peers import plain_peers
from tests.golden.tiny_model import CLASSES, SEEDS, Case, answers, rows, weights_of
from tests.golden.tiny_split import preparation, unseen_rows

NEIGHBOURS, SHARPNESS, FAINT = 10, 0.07, 1e-3


def large(seed: int, forget: int = 12, retain: int = 60) -> Case:
    """Rows enough for ten neighbours and a few peers."""
    draw = np.random.default_rng([seed, 9])
    parts = (rows(draw.integers(CLASSES, size=n).tolist(), seed, first) for n, first in ((forget, 40), (retain, 2000)))
    return Case(seed, batch=UnlearnBatch(*parts))


def seen(case: Case, batch: Batch) -> tuple[Array, list[int], Array]:
    """(unit hidden feature, labels, probabilities)."""
    found = answers(weights_of(case.models[0]), batch.images)
    return unit_rows(found.hidden), batch.labels.tolist(), np.stack([softmax(list(z)) for z in found.logits])


def votes(features: Array, keys: Array, key_labels: list[int]) -> Array:
    """The ten nearest vote for their class with exp(cosine / 0.07)."""
    shares = np.zeros((len(features), CLASSES))
    for i, feature in enumerate(features):
        cosine = [float(feature @ key) for key in keys]
        nearest = sorted(range(len(keys)), key=lambda m: -cosine[m])[:NEIGHBOURS]
        total = sum(math.exp(cosine[m] / SHARPNESS) for m in nearest)
        for m in nearest:
            shares[i, key_labels[m]] += math.exp(cosine[m] / SHARPNESS) / total
    return shares


def with_peers(shares: Array, labels: list[int], probs: Array, unseen: tuple[Array, list[int], Array]) -> Array:
    """The mean of neighbours' votes and peers' answer, as far as there are peers."""
    unseen_shares, unseen_labels, unseen_probs = unseen
    own = [np.array([p[y] for p, y in zip(x, labels, strict=True)]) for x in (shares, probs)]
    their = [np.array([p[y] for p, y in zip(x, unseen_labels, strict=True)]) for x in (unseen_shares, unseen_probs)]
    certain, usual = plain_peers(*own, *their)
    out = shares.copy()
    for i, label in enumerate(labels):
        rest = [0.0 if c == label else shares[i, c] + FAINT * probs[i, c] for c in range(CLASSES)]
        answer = [certain[i] if c == label else (1 - certain[i]) * rest[c] / sum(rest) for c in range(CLASSES)]
        out[i] = (1 - usual[i] / 2) * shares[i] + usual[i] / 2 * np.array(answer)
    return out


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("peers", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.03, 4.0])
def test_shares_and_excess(seed: int, peers: bool, smoothing: float) -> None:
    case = large(seed)
    features, labels, probs = seen(case, case.batch.forget)
    keys, key_labels, _ = seen(case, case.batch.retain)
    wanted = votes(features, keys, key_labels)
    if peers:
        other, other_labels, other_probs = seen(case, unseen_rows(case, 45))
        wanted = with_peers(wanted, labels, probs, (votes(other, keys, key_labels), other_labels, other_probs))
    wanted = (NEIGHBOURS * wanted + smoothing / CLASSES) / (NEIGHBOURS + smoothing)
    excess = np.array([max(0.0, p[y] - q[y]) for p, q, y in zip(probs, wanted, labels, strict=True)])
    assert 0 < (excess == 0).mean() < 1
    found = neighbour_shares(preparation(case, 45), 2048, smoothing, peers)
    order = np.argsort(case.batch.forget.sample_ids.numpy())
    assert found.sample_ids.tolist() == sorted(case.batch.forget.sample_ids.tolist())
    np.testing.assert_allclose(found.shares.numpy(), wanted[order], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.excess.numpy(), excess[order], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.shares.sum(1).numpy(), 1, rtol=1e-12)
    assert found.rows == 12 + 60


def test_fewer_rows_than_neighbours() -> None:
    case = large(7, forget=3, retain=6)
    features, _, _ = seen(case, case.batch.forget)
    keys, key_labels, _ = seen(case, case.batch.retain)
    order = np.argsort(case.batch.forget.sample_ids.numpy())
    found = neighbour_shares(preparation(case), 2048)
    np.testing.assert_allclose(found.shares.numpy(), votes(features, keys, key_labels)[order], rtol=1e-10)


def test_the_bank_is_a_part_of_the_retain_rows() -> None:
    case = large(8)
    prep = preparation(case)
    drawn = bank_rows(prep, 25)
    assert len(set(drawn.tolist())) == 25
    assert drawn.tolist() == sorted(drawn)
    assert not set(drawn) & set(prep.split.forget.rows)
    assert neighbour_shares(prep, 25).rows == 12 + 25
    keys = torch.from_numpy(prep.split.reader.sample_ids("train", drawn))
    places = [case.batch.retain.sample_ids.tolist().index(k) for k in keys.tolist()]
    features, _, _ = seen(case, case.batch.forget)
    all_keys, all_labels, _ = seen(case, case.batch.retain)
    wanted = votes(features, all_keys[places], [all_labels[p] for p in places])
    order = np.argsort(case.batch.forget.sample_ids.numpy())
    np.testing.assert_allclose(neighbour_shares(prep, 25).shares.numpy(), wanted[order], rtol=1e-10)
