"""One worker holds all; tests/parity/test_sharding.py spreads over two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn

from cu_core import sharding
from cu_core.sharding import (
    average_whole_gradients,
    gathered,
    load_optimizer,
    load_whole,
    optimizer_state,
    shard,
    whole,
)
from cu_core.traffic import TRAFFIC
from cu_core.unlearn.optim import OptimizerConfig, build_optimizer, gradient_norm


@pytest.fixture
def group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    TRAFFIC.clear()
    yield
    dist.destroy_process_group()
    TRAFFIC.clear()


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))


def trained(model: nn.Module, steps: int) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
    return optimizer


def test_on_a_plain_model_nothing_is_changed() -> None:
    model = net()
    with gathered(model):
        assert whole(model[0].weight) is model[0].weight
    other = {name: torch.full_like(value, 7) for name, value in model.state_dict().items()}
    load_whole(model, other)
    assert all((value == 7).all() for value in model.state_dict().values())
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_whole(model, {**other, "0.bias": torch.zeros(5)})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*absent"):
        load_whole(model, {**other, "absent": torch.zeros(5)})


def test_the_state_of_an_optimizer_goes_over_to_another() -> None:
    first, model = net(), net()
    one = trained(first, 2)
    other = trained(model, 1)
    load_optimizer(model, other, optimizer_state(first, one))
    assert str(other.state_dict()) == str(one.state_dict())
    assert other.state[model[0].weight]["step"].item() == 2


def test_bytes_of_a_step_are_two_parts_of_the_weights_and_the_whole_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four workers each hands over a quarter forward, a quarter backward, and the gradient of what is trained."""
    monkeypatch.setattr(sharding.dist, "get_world_size", lambda: 4)
    trained_weight, frozen = nn.Parameter(torch.zeros(10)), nn.Parameter(torch.zeros(6), requires_grad=False)
    assert sharding._handed_over([trained_weight, frozen]) == 4 * (10 * (0.5 + 1) + 6 * 0.5)
    assert sharding._handed_over([]) == 0


def test_a_spread_model_computes_saves_and_loads_as_a_whole_one(group: None) -> None:
    plain, spread = net(), net()
    shard([spread[0], spread])
    rows = torch.ones(2, 3)
    assert torch.equal(spread(rows), plain(rows))
    # One worker: 16 and 8 weights of 4 bytes, each gathered twice and reduced once; inner ones are counted once.
    assert TRAFFIC.bytes == 4 * (16 + 8) * 3
    with torch.no_grad():
        spread(rows)
    assert TRAFFIC.bytes == 4 * (16 + 8) * 3  # evaluation is no step
    assert type(spread[0].weight).__name__ == "DTensor"
    assert torch.equal(whole(spread[0].weight), plain[0].weight)
    load_whole(spread, {name: value + 1 for name, value in plain.state_dict().items()})
    assert torch.equal(whole(spread[1].weight), plain[1].weight + 1)
    with gathered(spread):
        assert type(spread[0].weight).__name__ == "Parameter"
    assert type(spread[0].weight).__name__ == "DTensor"


def test_the_state_of_a_spread_optimizer_is_whole(group: None) -> None:
    plain, spread = net(), net()
    shard([spread])
    one, other = trained(plain, 2), trained(spread, 1)
    load_optimizer(spread, other, optimizer_state(plain, one))
    assert type(other.state[spread[0].weight]["exp_avg"]).__name__ == "DTensor"
    for name, held in optimizer_state(spread, other).items():
        assert {key: type(value).__name__ for key, value in held.items()} == {
            "step": "Tensor", "exp_avg": "DTensor", "exp_avg_sq": "DTensor",
        }  # fmt: skip
        want = one.state[plain.get_parameter(name)]
        assert all(torch.equal(whole(value), want[key]) for key, value in held.items())


class Scaled(nn.Module):
    """A layer, a number of its own, and a number that no loss reads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.factor, self.unread = (
            nn.Linear(3, 4),
            nn.Parameter(torch.tensor(2.0)),
            nn.Parameter(torch.tensor(1.0)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.layer(x)


def test_single_numbers_beside_spread_weights_are_trained_and_clipped_as_in_a_plain_model(group: None) -> None:
    plain, spread = Scaled(), Scaled()
    shard([spread])
    assert type(spread.factor).__name__ == "Parameter"
    for model in (plain, spread):
        optimizer = build_optimizer(model.parameters(), OptimizerConfig(name="adamw", lr=0.1, weight_decay=0.5))
        model(torch.ones(2, 3)).square().sum().backward()
        average_whole_gradients(model.parameters())
        norm = gradient_norm(model.parameters(), 0.5)
        assert norm > 1
        assert model.unread.grad is None
        optimizer.step()
    for name, value in plain.named_parameters():
        assert torch.allclose(whole(spread.get_parameter(name)), value), name
    assert spread.unread == 1  # not even by weight decay
