from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cu_core.losses.image_text import drift_sum, info_nce_sum, pull_to_ceiling, push_to_floor, same_text, sigmoid_sum
from tests.golden.plain_losses import Array, log_sum_exp, softmax, unit_rows

IDS, ALL_IDS = [4, 7, 4], [7, 4, 1, 4, 9]
"""Captions by number: the first and third local row match two of the five, the second one."""
SAME = np.array([[own == other for other in ALL_IDS] for own in IDS])
SCALE, BIAS = 7.0, -3.0


def drawn(seed: int) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    return unit_rows(draw.normal(size=(3, 4))), unit_rows(draw.normal(size=(5, 4)))


def compare(loss: torch.Tensor, value: float, inputs: list[torch.Tensor], gradients: list[Array]) -> None:
    assert loss.item() == pytest.approx(value, rel=1e-10)
    for found, wanted in zip(torch.autograd.grad(loss, inputs), gradients, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


def variables(*values: Array | float) -> list[torch.Tensor]:
    return [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]


def test_captions_match_by_their_numbers() -> None:
    np.testing.assert_array_equal(same_text(torch.tensor(IDS), torch.tensor(ALL_IDS)), SAME)


@pytest.mark.parametrize("seed", range(4))
def test_info_nce_shares_its_mass_among_matches(seed: int) -> None:
    local, everyone = drawn(seed)
    value, d_scores = 0.0, np.zeros((3, 5))
    cosine = local @ everyone.T
    for i in range(3):
        scores = [SCALE * c for c in cosine[i]]
        matches = [m for m in range(5) if SAME[i, m]]
        value += log_sum_exp(scores) - sum(scores[m] for m in matches) / len(matches)
        d_scores[i] = softmax(scores)
        d_scores[i, matches] -= 1 / len(matches)
    given = variables(local, everyone, SCALE)
    loss = info_nce_sum(given[0], given[1], torch.from_numpy(SAME), given[2])
    d_scale = np.array((d_scores * cosine).sum())
    compare(loss, value, given, [SCALE * d_scores @ everyone, SCALE * d_scores.T @ local, d_scale])


@pytest.mark.parametrize("seed", range(4))
def test_sigmoid_loss(seed: int) -> None:
    """Zhai et al. 2023, equation 1: sum of log(1 + exp(-z (t x.y + b)))."""
    local, everyone = drawn(seed)
    value, d_scores = 0.0, np.zeros((3, 5))
    cosine = local @ everyone.T
    for i in range(3):
        for m in range(5):
            sign = 1 if SAME[i, m] else -1
            value += math.log(1 + math.exp(-sign * (SCALE * cosine[i, m] + BIAS)))
            d_scores[i, m] = -sign / (1 + math.exp(sign * (SCALE * cosine[i, m] + BIAS)))
    given = variables(local, everyone, SCALE, BIAS)
    loss = sigmoid_sum(given[0], given[1], torch.from_numpy(SAME), given[2], given[3])
    more = [np.array((d_scores * cosine).sum()), np.array(d_scores.sum())]
    compare(loss, value, given, [SCALE * d_scores @ everyone, SCALE * d_scores.T @ local, *more])


def test_drift_is_one_minus_the_cosine_of_each_row() -> None:
    new, frozen = drawn(5)[0], drawn(6)[0]
    (given,) = variables(new)
    value = sum(1 - float(a @ b) for a, b in zip(new, frozen, strict=True))
    compare(drift_sum(given, torch.from_numpy(frozen)), value, [given], [-frozen])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("temperature", [0.5, 0.2])
def test_push_stops_at_the_floor(seed: int, temperature: float) -> None:
    """Similarities below the floor count as the floor and get no gradient; a row without a push set is 0."""
    draw, floor = np.random.default_rng(seed), 0.1
    similarity, pushes = draw.uniform(-1, 1, size=(4, 6)), draw.uniform(size=(4, 6)) < 0.6
    pushes[2] = False
    (given,) = variables(similarity)
    found = push_to_floor(given, torch.from_numpy(pushes), floor, temperature)
    gradient = np.zeros_like(similarity)
    for i in range(4):
        chosen = [m for m in range(6) if pushes[i, m]]
        held = [max(similarity[i, m], floor) / temperature for m in chosen]
        assert found[i].item() == pytest.approx(log_sum_exp(held) if chosen else 0, rel=1e-10, abs=1e-15)
        for m, share in zip(chosen, softmax(held) if chosen else [], strict=True):
            gradient[i, m] = (i + 1) * share / temperature * (similarity[i, m] > floor)
    (d_found,) = torch.autograd.grad((found * torch.arange(1, 5)).sum(), given)
    np.testing.assert_allclose(d_found, gradient, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("temperature", [0.5, 0.2])
def test_pull_stops_at_the_ceiling(seed: int, temperature: float) -> None:
    """Similarities above the ceiling count as the ceiling and get no gradient; weights need not sum to one."""
    draw, ceiling = np.random.default_rng(seed), 0.3
    similarity, weights = draw.uniform(-1, 1, size=(4, 6)), draw.uniform(size=(4, 6))
    weights[1] = 0
    (given,) = variables(similarity)
    found = pull_to_ceiling(given, torch.from_numpy(weights), ceiling, temperature)
    gradient = np.zeros_like(similarity)
    for i in range(4):
        mass = sum(weights[i]) or 1
        wanted = -sum(w / mass * min(s, ceiling) / temperature for w, s in zip(weights[i], similarity[i], strict=True))
        assert found[i].item() == pytest.approx(wanted, rel=1e-10, abs=1e-15)
        gradient[i] = -(i + 1) * weights[i] / mass / temperature * (similarity[i] < ceiling)
    (d_found,) = torch.autograd.grad((found * torch.arange(1, 5)).sum(), given)
    np.testing.assert_allclose(d_found, gradient, rtol=1e-10, atol=1e-13)


def test_errors_say_what_is_wrong() -> None:
    one = torch.ones(1, 1)
    with pytest.raises(ValueError, match="matches nothing|no match"):
        info_nce_sum(one, one, one == 0, 1.0)
    for bound in (push_to_floor, pull_to_ceiling):
        with pytest.raises(ValueError, match="temperature must be positive"):
            bound(one, one == 1, 0.0, 0.0)
