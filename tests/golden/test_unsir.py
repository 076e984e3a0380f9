from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cu_core.methods.unsir import Unsir
from tests.golden.plain_losses import Array, cross_entropy, hash_of
from tests.golden.tiny_model import (
    MEAN,
    SEEDS,
    SIDE,
    STD,
    Case,
    answers,
    backward,
    check,
    expected,
    run,
    same,
    weights_of,
)
from tests.golden.tiny_split import preparation

NOISE_ROWS = 64


def adam(values: Array, gradients: list[Array], moments: list[Array], rate: float) -> Array:
    """Kingma and Ba 2015, algorithm 1, with its defaults."""
    step, gradient = len(gradients), gradients[-1]
    moments[0] = 0.9 * moments[0] + 0.1 * gradient
    moments[1] = 0.999 * moments[1] + 0.001 * gradient**2
    first, second = moments[0] / (1 - 0.9**step), moments[1] / (1 - 0.999**step)
    return values - rate * first / (np.sqrt(second) + 1e-8)


def maximised(case: Case, noise: Array, labels: list[int], steps: int, rate: float, penalty: float) -> Array:
    """Equation 2: minimise penalty * mean |noise|^2 - mean cross-entropy."""
    weights, moments, gradients = weights_of(case.models[0]), [np.zeros_like(noise), np.zeros_like(noise)], []
    for _ in range(steps):
        pixels = torch.from_numpy(127.5 + 63.75 * noise)
        seen = answers(weights, pixels)
        _, error = backward(weights, seen, {"logits": cross_entropy(seen.logits, labels)[1]})
        gradients.append(2 * penalty * noise / len(noise) - error * 63.75 / 255 / STD)
        noise = adam(noise, gradients, moments, rate)
    return noise


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shipped", [True, False])
def test_the_noise_maximises_the_error_of_its_class(seed: int, shipped: bool) -> None:
    """The noise is float32: to 1e-4 of its unit scale, after 20 steps of 0.1."""
    assert (MEAN, STD) == (0.4, 0.3)
    case = Case(seed, "class")
    count, steps, rate, penalty = (NOISE_ROWS, 20, 0.1, 0.1) if shipped else (5, 3, 0.05, 2.0)
    own = Unsir(noise_rows=count, noise_steps=steps, noise_lr=rate, noise_penalty=penalty)
    method = Unsir() if shipped else own
    assert method.prepare(preparation(case)) == steps * 2 * count
    assert case.state["classes"].tolist() == [1, 3]
    assert case.state["noise"].shape == (2, count, 1, SIDE, SIDE)
    start = torch.randn(2 * count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(17))
    flat = start.double().numpy().reshape(2 * count, -1)
    wanted = maximised(case, flat, [1] * count + [3] * count, steps, rate, penalty)
    found = (case.state["noise"].double().numpy().reshape(2 * count, -1) - 127.5) / 63.75
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.abs(wanted - flat).max() > 10 * 1e-4 * steps


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("half", [0.5, 0.3])
@pytest.mark.parametrize("step", [0, 1, 2, 3, 4, 5, 9])
def test_impair_then_repair(seed: int, half: float, step: int) -> None:
    """Noise of a row's class, by a hash of step and sample_id, is trained on with the class's label."""
    noise = torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (2, NOISE_ROWS, 1, SIDE, SIDE)))
    case = Case(seed, "class", step=step, state={"noise": noise, "classes": torch.tensor([1, 3])})
    method = Unsir() if half == 0.5 else Unsir(impair_frac=half)
    loss, gradient = cross_entropy(case.seen("retain").logits, case.labels("retain"))
    if step >= 10 * half:
        losses = check(method, case, loss, {"retain": {"logits": gradient}})
        assert losses.terms["impair_loss"].item() == 0
        return
    ids, labels = case.batch.forget.sample_ids.tolist(), case.labels("forget")
    places = [hash_of(i, 17, step) % NOISE_ROWS for i in ids]
    images = torch.stack([noise[0 if y == 1 else 1, p] for y, p in zip(labels, places, strict=True)])
    wrong, d_wrong = cross_entropy(answers(weights_of(case.models[0]), images).logits, labels)
    losses, found = run(method, case)
    assert math.isclose(losses.total.item(), loss + wrong, rel_tol=1e-10)
    assert losses.terms["impair_loss"].item() == pytest.approx(wrong, rel=1e-10)
    assert losses.terms["retain_loss"].item() == pytest.approx(loss, rel=1e-10)
    same(found, expected(case, {"retain": {"logits": gradient}, "noise": {"logits": d_wrong}}, {"noise": images}))
