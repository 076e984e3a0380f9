"""Contrast of views against plain double loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from cu_core.losses.views import queue_share, views_share

ROWS, WIDTH = 5, 4


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def plain_views(z: torch.Tensor, numbers: list[int], temperature: float) -> float:
    """Khosla et al. 2020, eq. 2, anchor by anchor and positive by positive."""
    total = 0.0
    for i in range(len(z)):
        scores = {a: cosine(z[i], z[a]) / temperature for a in range(len(z)) if a != i}
        below = sum(math.exp(s) for s in scores.values())
        positives = [p for p in scores if numbers[p] == numbers[i]]
        total += sum(-math.log(math.exp(scores[p]) / below) for p in positives) / len(positives)
    return total / len(z)


def plain_ntxent(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    """Chen et al. 2020, eq. 1 and algorithm 1: view 2k - 1 and view 2k of N rows."""
    z = [row for pair in zip(first, second, strict=True) for row in pair]

    def one(i: int, j: int) -> float:
        below = sum(math.exp(cosine(z[i], z[k]) / temperature) for k in range(len(z)) if k != i)
        return -math.log(math.exp(cosine(z[i], z[j]) / temperature) / below)

    pairs = range(0, len(z), 2)
    return sum(one(k, k + 1) + one(k + 1, k) for k in pairs) / len(z)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_with_labels_it_is_supcon(temperature: float) -> None:
    z, labels = drawn(2 * ROWS, WIDTH), [0, 0, 1, 2, 1] * 2
    got = views_share(z, torch.tensor(labels), temperature=temperature)
    assert float(got) == pytest.approx(plain_views(z, labels, temperature), rel=1e-9)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_with_a_number_for_each_row_it_is_simclr(temperature: float) -> None:
    first, second = drawn(ROWS, WIDTH), drawn(ROWS, WIDTH, seed=1)
    numbers = torch.tensor([40, 3, 7, 8, 11]).repeat(2)
    got = views_share(torch.cat([first, second]), numbers, temperature=temperature)
    assert float(got) == pytest.approx(plain_ntxent(first, second, temperature), rel=1e-9)


def test_the_gradient_is_that_of_the_formula() -> None:
    z, labels = drawn(2 * ROWS, WIDTH).requires_grad_(), torch.tensor([0, 0, 1, 2, 1] * 2)
    (got,) = torch.autograd.grad(views_share(z, labels, temperature=0.3), z)
    scores = F.normalize(z, dim=1) @ F.normalize(z, dim=1).T / 0.3
    scores = scores.masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    others = (labels[:, None] == labels) & ~torch.eye(len(z), dtype=torch.bool)
    logs = F.log_softmax(scores, 1).masked_fill(~others, 0)
    (want,) = torch.autograd.grad(-(logs.sum(1) / others.sum(1)).mean(), z)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)


def test_the_queue_holds_the_only_negatives() -> None:
    """He et al. 2020, eq. 1: other keys of the batch are no negatives."""
    queries, keys, queue = drawn(3, WIDTH), F.normalize(drawn(3, WIDTH, seed=1)), F.normalize(drawn(6, WIDTH, seed=2))
    total = 0.0
    for i in range(3):
        own = math.exp(cosine(queries[i], keys[i]) / 0.2)
        total -= math.log(own / (own + sum(math.exp(cosine(queries[i], k) / 0.2) for k in queue)))
    assert float(queue_share(queries, keys, queue, 3, temperature=0.2)) == pytest.approx(total / 3, rel=1e-12)
    assert float(queue_share(queries, keys, queue, 12, temperature=0.2)) == pytest.approx(total / 12, rel=1e-12)


def test_a_rank_without_rows_adds_nothing() -> None:
    nothing = torch.zeros(0, WIDTH)
    assert float(views_share(nothing, torch.zeros(0, dtype=torch.long), temperature=0.5)) == 0
    assert float(queue_share(nothing, nothing, torch.ones(2, WIDTH), 0, temperature=0.5)) == 0
