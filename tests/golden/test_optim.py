from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from cu_core.unlearn.optim import OptimizerConfig, build_optimizer, gradient_norm, learning_rate, set_learning_rate
from tests.golden.plain_losses import Array

SGD = {"name": "sgd", "lr": 0.05}
ADAMW = {"name": "adamw", "lr": 0.02}


def plain_steps(start: Array, gradients: Array, rates: list[float], settings: dict[str, float]) -> Array:
    """Weights after each step, one weight at a time: SGD with momentum (its decay in the gradient), or AdamW
    (Loshchilov and Hutter 2019, algorithm 2) with 0.9, 0.999 and 1e-8."""
    out = np.zeros_like(gradients)
    decay, momentum = settings.get("weight_decay", 0.0), settings.get("momentum", 0.9)
    for w in range(len(start)):
        value, first, second = start[w], 0.0, 0.0
        for t, rate in enumerate(rates, 1):
            g = gradients[t - 1, w]
            if settings["name"] == "sgd":
                g += decay * value
                first = momentum * first + g
                value -= rate * first
            else:
                value *= 1 - rate * decay
                first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
                value -= rate * (first / (1 - 0.9**t)) / (math.sqrt(second / (1 - 0.999**t)) + 1e-8)
            out[t - 1, w] = value
    return out


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "settings",
    [SGD, ADAMW, SGD | {"momentum": 0.0}, SGD | {"momentum": 0.6, "weight_decay": 0.3}, ADAMW | {"weight_decay": 0.4}],
)
def test_steps_at_a_rate_that_changes(seed: int, settings: dict[str, float]) -> None:
    draw = np.random.default_rng(seed)
    start, gradients, rates = draw.normal(size=4), draw.normal(size=(6, 4)), [0.05, 0.1, 0.02, 0.2, 0.01, 0.07]
    parameter = nn.Parameter(torch.from_numpy(start.copy()))
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    optimizer = build_optimizer([parameter, frozen], OptimizerConfig(**settings))  # type: ignore[arg-type]
    assert optimizer.param_groups[0]["lr"] == settings["lr"]
    assert [p is parameter for group in optimizer.param_groups for p in group["params"]] == [True]
    wanted = plain_steps(start, gradients.copy(), rates, settings)
    for step, rate in enumerate(rates):
        set_learning_rate(optimizer, rate)
        parameter.grad = torch.from_numpy(gradients[step].copy())
        optimizer.step()
        np.testing.assert_allclose(parameter.detach(), wanted[step], rtol=1e-10, atol=1e-13)


def test_constant_rate() -> None:
    assert [learning_rate(OptimizerConfig(lr=0.3), step, 7) for step in range(7)] == [0.3] * 7


def test_half_a_cosine_reaches_zero_after_the_last_step() -> None:
    """Of four steps: cos(0), cos(pi/4), cos(pi/2), cos(3 pi/4)."""
    found = [learning_rate(OptimizerConfig(lr=0.3, schedule="cosine"), step, 4) for step in range(5)]
    root = math.sqrt(0.5)
    assert found == pytest.approx([0.3, 0.15 * (1 + root), 0.15, 0.15 * (1 - root), 0.0], abs=1e-15)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_warm_up_rises_linearly(schedule: str) -> None:
    """A quarter of 12 steps: 1/4, 2/4 and 3/4 of the rate, then the schedule over the nine that are left."""
    config = OptimizerConfig(lr=0.8, schedule=schedule, warmup_frac=0.25)  # type: ignore[arg-type]
    found = [learning_rate(config, step, 12) for step in range(12)]
    cosine = [0.4 * (1 + math.cos(math.pi * k / 9)) for k in range(9)]
    assert found == pytest.approx([0.2, 0.4, 0.6, *(cosine if schedule == "cosine" else [0.8] * 9)])


@pytest.mark.parametrize("limit", [None, 0.5, 3.0, 5.0, 100.0])
def test_clipping_scales_the_whole_gradient(limit: float | None) -> None:
    """The norm over both weights is sqrt(9 + 16) = 5; a parameter without gradient has no part in it."""
    a, b, without = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.ones(1))
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([-4.0])
    assert gradient_norm([a, b, without], limit).item() == pytest.approx(5.0)
    factor = 1.0 if limit is None else min(1.0, limit / 5)
    assert a.grad.tolist() == pytest.approx([3 * factor, 0], rel=1e-5)
    assert b.grad.tolist() == pytest.approx([-4 * factor], rel=1e-5)
    assert without.grad is None


def test_shipped_settings() -> None:
    wanted = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0, "schedule": "constant"}
    assert vars(OptimizerConfig()) == {**wanted, "warmup_frac": 0.0, "clip_norm": None}


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": 0.0}, {"lr": -1.0}, {"momentum": 1.0}, {"momentum": -0.1}, {"weight_decay": -1e-9},
        {"warmup_frac": 1.0}, {"warmup_frac": -0.1}, {"clip_norm": 0.0}, {"clip_norm": -1.0},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        OptimizerConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings", [{"momentum": 0.0}, {"weight_decay": 0.0}, {"warmup_frac": 0.0}, {"clip_norm": 0.1}]
)
def test_the_ends_of_the_ranges_are_allowed(settings: dict[str, float]) -> None:
    assert OptimizerConfig(**settings) is not None  # type: ignore[arg-type]
