"""One process is the world, and two ranks of which the other's part is a constant. Real ranks: tests/parity."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import cu_core.dist as ranks
from cu_core.dist import gather_rows, global_counts, rank_slice, seed_everything, sum_over_ranks, sum_with_gradient
from cu_core.traffic import TRAFFIC


def world(monkeypatch: pytest.MonkeyPatch, size: int, rank: int, sums: list[Tensor] | None = None) -> None:
    """``sums``: what the other ranks add to each sum, in order."""
    others: Iterator[Tensor] = iter(sums or [])
    monkeypatch.setattr(ranks, "world_size", lambda: size)
    monkeypatch.setattr(ranks, "rank", lambda: rank)
    monkeypatch.setattr(ranks.dist, "all_reduce", lambda value: value.add_(next(others)))


def test_one_process_is_the_world() -> None:
    assert (ranks.world_size(), ranks.rank()) == (1, 0)
    assert rank_slice(7) == slice(0, 7)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    assert sum_with_gradient(x) is x
    assert gather_rows(x) is x
    layer = nn.Linear(2, 2)
    assert ranks.data_parallel(layer, broadcast_buffers=True) is layer
    assert global_counts(3, 0, device=torch.device("cpu")) == [3, 0]


def test_a_sum_is_a_copy_without_gradient() -> None:
    x = torch.tensor([1.0], requires_grad=True)
    found = sum_over_ranks(x)
    assert not found.requires_grad
    found.add_(1)
    assert x.item() == 1


@given(count=st.integers(0, 40), size=st.integers(1, 9))
def test_ranks_share_all_rows_evenly_and_in_order(count: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        parts = []
        for number in range(size):
            world(patch, size, number)
            parts.append(list(range(count))[rank_slice(count)])
    assert [row for part in parts for row in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("seed", [0, 5, 2**32 + 5])
def test_every_generator_starts_anew(seed: int) -> None:
    drawn = []
    for chosen in (seed, seed, seed + 1):
        seed_everything(chosen)
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert drawn[0] == drawn[1]
    assert all(a != b for a, b in zip(drawn[1], drawn[2], strict=True))


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, 1), (1.0, 1), (2.9, 2)])
def test_threads_are_whole_cpus_and_at_least_one(cpus: float, threads: int) -> None:
    before = torch.get_num_threads()
    try:
        ranks.use_cpus(cpus)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_counts_are_summed_in_one_collective(monkeypatch: pytest.MonkeyPatch) -> None:
    world(monkeypatch, 2, 0, [torch.tensor([10, 20])])
    TRAFFIC.clear()
    assert global_counts(1, 2, device=torch.device("cpu")) == [11, 22]
    assert (TRAFFIC.bytes, len(TRAFFIC.waits)) == (2 * 8, 1)


def test_the_gradient_of_a_sum_is_summed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the loss is 3 y, there 5 y, with y = x here + 7 there."""
    world(monkeypatch, 2, 0, [torch.tensor([7.0]), torch.tensor([5.0])])
    x = torch.tensor([2.0], requires_grad=True)
    y = sum_with_gradient(x)
    assert y.item() == 9
    (3 * y).sum().backward()
    assert x.grad is not None
    assert x.grad.item() == 8


@pytest.mark.parametrize(
    ("rank", "own", "theirs"),
    [(0, [[1.0], [2.0], [3.0]], [[9.0]]), (1, [[1.0]], [[8.0], [9.0]]), (0, [], [[9.0]]), (1, [[1.0], [2.0]], [])],
    ids=str,
)
def test_rows_are_gathered_in_the_order_of_ranks(
    monkeypatch: pytest.MonkeyPatch, rank: int, own: list[list[float]], theirs: list[list[float]]
) -> None:
    """The loss here is a row's place times its value; the other rank's is a hundred times the sum of the rows."""
    parts = [own, theirs] if rank == 0 else [theirs, own]
    total = len(own) + len(theirs)
    sizes = torch.tensor([len(theirs) * (rank != 0), len(theirs) * (rank != 1)])

    def all_gather(found: list[Tensor], padded: Tensor) -> None:
        assert padded.shape == (max(len(own), len(theirs)), 1)
        found[rank].copy_(padded)
        found[1 - rank][: len(theirs)] = torch.tensor(theirs).view(-1, 1)

    world(monkeypatch, 2, rank, [sizes, torch.full((total, 1), 100.0)])
    monkeypatch.setattr(ranks.dist, "all_gather", all_gather)
    x = torch.tensor(own).view(-1, 1).requires_grad_()
    found = gather_rows(x)
    assert found.tolist() == parts[0] + parts[1]
    (torch.arange(total)[:, None] * found).sum().backward()
    first = len(theirs) * rank
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [100.0 + first + row for row in range(len(own))]
