from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from cu_core.losses.image_text import (
    drift_sum,
    info_nce_sum,
    pull_to_ceiling,
    push_to_floor,
    same_text,
    sigmoid_sum,
)


def unit_rows(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_info_nce_equals_plain_loops_with_shared_mass() -> None:
    images, texts, ids = unit_rows(5, 0), unit_rows(5, 1), torch.tensor([3, 7, 3, 9, 7])
    expected = 0.0
    for i in range(5):
        scores = [10 * float(images[i] @ texts[j]) for j in range(5)]
        log_sum = math.log(sum(math.exp(s) for s in scores))
        alike = [j for j in range(5) if ids[j] == ids[i]]
        expected -= sum(scores[j] - log_sum for j in alike) / len(alike)
    assert info_nce_sum(images, texts, same_text(ids, ids), 10.0).item() == pytest.approx(expected)


def test_info_nce_is_the_usual_one_where_all_captions_differ() -> None:
    images, texts, ids = unit_rows(6, 2), unit_rows(6, 3), torch.arange(6)
    usual = F.cross_entropy(5 * images @ texts.T, ids, reduction="sum")
    torch.testing.assert_close(info_nce_sum(images, texts, same_text(ids, ids), 5.0), usual)
    with pytest.raises(ValueError, match="no match"):
        info_nce_sum(images, texts, same_text(ids + 10, ids), 5.0)


def test_sigmoid_loss_equals_plain_loops() -> None:
    images, texts, ids = unit_rows(3, 4), unit_rows(3, 5), torch.tensor([0, 1, 0])
    expected = 0.0
    for i in range(3):
        for j in range(3):
            z = 1 if ids[i] == ids[j] else -1
            expected += math.log(1 + math.exp(-z * (8 * float(images[i] @ texts[j]) - 2)))
    assert sigmoid_sum(images, texts, same_text(ids, ids), 8.0, -2.0).item() == pytest.approx(expected)


def test_push_stops_at_the_floor() -> None:
    similarity = torch.tensor([[0.9, 0.1, -0.5], [0.2, 0.3, 0.0]], dtype=torch.float64, requires_grad=True)
    push = torch.tensor([[True, False, True], [False, False, False]])
    loss = push_to_floor(similarity, push, floor=0.2, temperature=0.5)
    assert loss.tolist() == pytest.approx([math.log(math.exp(1.8) + math.exp(0.4)), 0.0])
    (gradient,) = torch.autograd.grad(loss.sum(), similarity)
    assert gradient[0, 0] > 0
    assert gradient[0, 1] == gradient[0, 2] == 0
    assert not gradient[1].any()


def test_pull_stops_at_the_ceiling() -> None:
    similarity = torch.tensor([[0.9, 0.1], [0.2, 0.3]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[1.0, 3.0], [0.0, 0.0]], dtype=torch.float64)
    loss = pull_to_ceiling(similarity, weights, ceiling=0.4, temperature=0.5)
    assert loss.tolist() == pytest.approx([-(0.4 + 3 * 0.1) / 4 / 0.5, 0.0])
    (gradient,) = torch.autograd.grad(loss.sum(), similarity)
    assert gradient[0].tolist() == pytest.approx([0.0, -1.5])
    assert not gradient[1].any()


def test_drift_is_nothing_for_a_model_that_did_not_move() -> None:
    rows = unit_rows(4, 6)
    assert drift_sum(rows, rows).item() == pytest.approx(0, abs=1e-12)
    assert drift_sum(rows, -rows).item() == pytest.approx(8)
    with pytest.raises(ValueError, match="temperature must be positive"):
        push_to_floor(rows, rows > 0, 0.0, 0.0)
