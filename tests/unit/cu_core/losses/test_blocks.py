"""Sums over all pairs of rows and keys, block by block."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cu_core.losses import blocks
from cu_core.losses.blocks import by_rows, sum_by_rows
from cu_core.methods.base import Method, StepContext
from cu_core.methods.contrastive import Contrastive
from cu_core.methods.contrastive_clip import ContrastiveClip
from cu_core.methods.finetune import FineTune
from cu_core.methods.neggrad_plus import NegGradPlus
from cu_core.methods.random_label import RandomLabel
from cu_core.types import Batch, Outputs, UnlearnBatch

ROWS, WIDTH = 40, 3
METHODS: list[Method] = [
    ContrastiveClip(lambda_dispersion=0.3),
    FineTune(),
    NegGradPlus(),
    RandomLabel(),
]


@pytest.mark.parametrize(
    ("rows", "keys", "sizes"), [(10, 4, [3, 3, 3, 1]), (2, 100, [1, 1]), (0, 5, [0]), (3, 0, [3]), (3, 4, [3])]
)
def test_a_block_has_no_more_similarities_than_fit(
    rows: int, keys: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "AT_ONCE", 12)
    parts = [torch.arange(rows)[block] for block in blocks.blocks(rows, keys)]
    assert [len(part) for part in parts] == sizes
    assert torch.cat(parts).tolist() == list(range(rows))


def test_blocks_are_made_again_for_the_gradient_and_without_one_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "AT_ONCE", 8)
    x, seen = torch.arange(5.0, requires_grad=True), []

    def part(block: slice) -> tuple[Tensor, Tensor]:
        seen.append((block.start, block.stop))
        return x[block] ** 2, 2 * x[block]

    squares, doubles = by_rows(5, 4, part)
    assert (squares.tolist(), doubles.tolist()) == ([0, 1, 4, 9, 16], [0, 2, 4, 6, 8])
    (squares.sum() + doubles.sum()).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 4, 6, 8, 10]
    assert sorted(seen) == [(0, 2)] * 2 + [(2, 4)] * 2 + [(4, 5)] * 2
    seen.clear()
    with torch.no_grad():
        assert sum_by_rows(5, 4, lambda block: part(block)[0].sum()) == 30
    assert len(seen) == 3


class Largest(TorchDispatchMode):
    """Entries of the largest tensor that any operation makes."""

    entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(one, Tensor):
                self.entries = max(self.entries, one.numel())
        return found


def clip_batch() -> UnlearnBatch:
    tokens = torch.arange(ROWS)[:, None] % 7
    return UnlearnBatch(
        *(Batch(torch.zeros(ROWS, 1), torch.arange(ROWS) % 2, torch.arange(ROWS), tokens) for _ in range(2))
    )


def outputs(seed: int, classes: int) -> dict[str, Outputs]:
    g = torch.Generator().manual_seed(seed)
    found = {}
    for name in ("forget", "forget texts", "retain", "retain texts"):
        unit = torch.nn.functional.normalize(torch.randn(ROWS, WIDTH, generator=g), dim=1).requires_grad_()
        logits = torch.randn(ROWS, classes, generator=g, requires_grad=True)
        found[name] = Outputs(unit, unit, logits, torch.tensor(5.0))
    return found


def context(out: dict[str, Outputs], frozen: dict[str, Outputs]) -> StepContext:
    def answers(given: dict[str, Outputs]) -> Any:
        return lambda sets: {name: given[name] for name in sets}

    state = {"floor": torch.tensor(0.05), "ceiling": torch.tensor(0.9)}
    reference = answers(frozen)
    bare: Any = None
    return StepContext(answers(out), bare, reference, None, "sample", (), 2, 0, 0, 1, 0.0, state)


@pytest.mark.parametrize("method", [*METHODS, Contrastive(pull_form="softmax", lambda_ul=2.0)], ids=lambda m: m.name)
def test_no_matrix_of_all_rows_by_all_keys_is_in_memory(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """80 keys for 40 rows: 3,200 similarities as a whole, and at most 160 at once in blocks; value and gradient are the
    same."""
    monkeypatch.setattr("cu_core.methods.contrastive_clip._prompts", lambda model, classes: torch.zeros(0, WIDTH))
    found = []
    for at_once in (2**24, 160):
        monkeypatch.setattr(blocks, "AT_ONCE", at_once)
        out, frozen = outputs(0, 2), outputs(1, 2)
        with Largest() as largest:
            total = method.losses(context(out, frozen), clip_batch()).total
            total.backward()
        leaves = [x for o in out.values() for x in (o.embedding, o.logits)]
        found.append((total.detach(), [None if x.grad is None else x.grad for x in leaves], largest.entries))
    (want, wanted, whole), (have, gradients, most) = found
    assert whole >= ROWS * ROWS
    assert most <= 2 * 160  # the largest is not much more than a block; rows and keys themselves have 240 entries
    torch.testing.assert_close(have, want, rtol=1e-5, atol=1e-6)
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
