from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from cu_core.unlearn.optim import OptimizerConfig, build_optimizer, gradient_norm, learning_rate, set_learning_rate

EXACT = 1e-12


def test_rates_by_hand() -> None:
    """100 steps, 20 of warm-up: (step + 1) / 21 of the peak, then half a cosine over the other 80."""
    config = OptimizerConfig(lr=2.0, schedule="cosine", warmup_frac=0.2)
    wanted = {0: 2 / 21, 19: 40 / 21, 20: 2.0, 40: 1 + math.cos(math.pi / 4), 60: 1.0, 100: 0.0}
    for step, rate in wanted.items():
        assert learning_rate(config, step, 100) == pytest.approx(rate, abs=EXACT)
    flat = OptimizerConfig(lr=2.0, warmup_frac=0.2)
    assert [learning_rate(flat, step, 100) for step in (0, 20, 99)] == pytest.approx([2 / 21, 2, 2], abs=EXACT)


def steps(config: OptimizerConfig, count: int) -> list[float]:
    """A weight of 1 under a gradient of 0.5 in every step."""
    weight = nn.Parameter(torch.ones((), dtype=torch.float64))
    frozen = nn.Parameter(torch.ones(()), requires_grad=False)
    optimizer = build_optimizer([weight, frozen], config)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 1
    found = []
    for _ in range(count):
        weight.grad = torch.full_like(weight, 0.5)
        optimizer.step()
        found.append(float(weight.detach()))
    return found


def test_sgd_with_momentum_and_decay_by_hand() -> None:
    assert steps(OptimizerConfig(lr=0.1, momentum=0.0), 2) == pytest.approx([0.95, 0.9], abs=EXACT)
    assert steps(OptimizerConfig(lr=0.1), 2) == pytest.approx([0.95, 0.95 - 0.1 * (0.45 + 0.5)], abs=EXACT)
    first = 1 - 0.1 * (0.5 + 0.2)
    assert steps(OptimizerConfig(lr=0.1, momentum=0.0, weight_decay=0.2), 2) == pytest.approx(
        [first, first - 0.1 * (0.5 + 0.2 * first)], abs=EXACT
    )


def test_adamw_s_first_step_is_the_rate_and_its_decay_is_apart() -> None:
    """Loshchilov and Hutter 2019: w (1 - lr decay) - lr g / (|g| + eps)."""
    plain = 0.1 * 0.5 / (0.5 + 1e-8)
    assert steps(OptimizerConfig(name="adamw", lr=0.1), 1) == pytest.approx([1 - plain], abs=EXACT)
    config = OptimizerConfig(name="adamw", lr=0.1, weight_decay=0.3)
    assert steps(config, 1) == pytest.approx([1 - 0.1 * 0.3 - plain], abs=EXACT)


def test_the_rate_is_set_in_every_group() -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.ones(1))]} for _ in range(2)], lr=1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


@pytest.mark.parametrize(("clip", "factor"), [(None, 1.0), (10.0, 1.0), (1.0, 0.2)])
def test_the_norm_is_of_the_whole_gradient_before_it_is_clipped(clip: float | None, factor: float) -> None:
    """Gradients (3, 0) and (4): norm 5."""
    a, b, without = (nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (2, 1, 1))
    a.grad, b.grad = torch.tensor([3.0, 0.0], dtype=torch.float64), torch.tensor([4.0], dtype=torch.float64)
    assert float(gradient_norm([a, b, without], clip)) == pytest.approx(5, abs=EXACT)
    assert [*a.grad.tolist(), *b.grad.tolist()] == pytest.approx([3 * factor, 0, 4 * factor], abs=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        {"lr": 0.0},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"weight_decay": -1},
        {"warmup_frac": 1.0},
        {"clip_norm": 0.0},
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        OptimizerConfig(**values)
