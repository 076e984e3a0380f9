from __future__ import annotations

import math

import pytest
import torch

from cu_core.losses.classification import cross_entropy_share


def test_share_is_the_local_sum_over_the_global_count() -> None:
    """Two classes, logits (2, 0): -log p = log(1 + e^-2) for class 0."""
    share = cross_entropy_share(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), 4)
    assert float(share) == pytest.approx(math.log(1 + math.exp(-2)) / 4)


def test_no_rows_are_zero_with_gradient() -> None:
    logits = torch.zeros(0, 3, requires_grad=True)
    share = cross_entropy_share(logits, torch.zeros(0, dtype=torch.long), 0)
    share.backward()
    assert float(share.detach()) == 0
