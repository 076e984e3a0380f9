"""Two or three rows of one channel, by hand: the rows 1 and 3 have the mean 2, the variance 1 and unbiased 2."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from torch import nn

from cu_core.errors import UserError
from cu_core.models import batch_norm
from cu_core.models.batch_norm import RowBatchNorm, set_batch_norm, set_first_row

EPS = 1e-5


def layer(mode: str, momentum: float | None = 0.1) -> Any:
    norm = nn.BatchNorm1d(1, momentum=momentum)
    set_batch_norm(norm, mode)  # type: ignore[arg-type]
    return norm.train()


def rows(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]


def test_all_rows_feed_the_statistics() -> None:
    for mode in ("synced", "per_rank"):
        norm = layer(mode)
        torch.testing.assert_close(norm(rows(1, 3)), rows(-1, 1) / (1 + EPS) ** 0.5)
        assert norm.running_mean.item() == pytest.approx(0.2)
        assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * 2)


@pytest.mark.parametrize("momentum", [0.1, 0.5])
def test_leading_rows_are_normalised_and_leave_no_trace(momentum: float) -> None:
    norm = layer("retain", momentum)
    set_first_row(norm, 1)
    torch.testing.assert_close(norm(rows(100, 1, 3)), rows(98, -1, 1) / (1 + EPS) ** 0.5)
    assert norm.running_mean.item() == pytest.approx(momentum * 2)
    assert norm.running_var.item() == pytest.approx(1 - momentum + momentum * 2)
    assert norm.num_batches_tracked.item() == 1


@pytest.mark.parametrize("first", [None, 2])
def test_without_rows_that_feed_them_the_stored_statistics_stand(first: int | None) -> None:
    norm = layer("retain")
    norm.running_mean.fill_(5)
    norm.running_var.fill_(4)
    set_first_row(norm, first)
    torch.testing.assert_close(norm(rows(1, 3, 9)), (rows(1, 3, 9) - 5) / (4 + EPS) ** 0.5)
    assert (norm.running_mean.item(), norm.running_var.item(), norm.num_batches_tracked.item()) == (5, 4, 0)


def test_frozen_statistics_stay_while_the_model_trains() -> None:
    model = nn.Sequential(layer("frozen"), nn.Dropout())
    model.train()
    assert (model[0].training, model[1].training) == (False, True)
    model[0](rows(1, 3))
    assert model[0].running_mean.item() == 0
    assert layer("synced").eval().train().training


def test_first_row_has_a_meaning_in_mode_retain_alone() -> None:
    for mode in ("synced", "per_rank", "frozen"):
        norm = layer(mode)
        set_first_row(norm, 1)
        assert norm.first_row == 0


def test_every_kind_of_layer_is_converted_and_keeps_its_values() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm3d(2)), nn.LayerNorm(2))
    with torch.no_grad():
        model[0].weight.fill_(7)
    before = model.state_dict()
    set_batch_norm(model, "per_rank")
    assert [type(m) for m in (model[0], *model[1], model[2])] == [RowBatchNorm] * 3 + [nn.LayerNorm]
    assert [m.mode for m in (model[0], *model[1])] == ["per_rank"] * 3
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    set_batch_norm(model, "frozen")
    assert model[0].mode == "frozen"


def test_a_single_vector_is_refused() -> None:
    with pytest.raises(UserError, match=r"batch norm needs \(N, C, \.\.\.\), got \(1,\)"):
        layer("synced")(torch.zeros(1))


def test_the_rows_of_another_rank_count_except_per_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here 1, there 3: sums around the stored mean of 0 are 3, 9 and one value."""
    monkeypatch.setattr(batch_norm, "world_size", lambda: 2)
    monkeypatch.setattr(batch_norm, "sum_with_gradient", lambda sums: sums + torch.tensor([3.0, 9.0, 1.0]))
    norm = layer("synced")
    torch.testing.assert_close(norm(rows(1)), rows(-1) / (1 + EPS) ** 0.5)
    assert norm.running_var.item() == pytest.approx(1.1)
    alone = layer("per_rank")
    torch.testing.assert_close(alone(rows(1)), rows(1) / (1 + EPS) ** 0.5)  # one value: the stored statistics
    assert alone.running_mean.item() == 0


def test_one_row_on_all_ranks_together_has_the_stored_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_norm, "world_size", lambda: 2)
    monkeypatch.setattr(batch_norm, "sum_with_gradient", lambda sums: sums)
    norm = layer("synced")
    torch.testing.assert_close(norm(rows(3)), rows(3) / (1 + EPS) ** 0.5)
    assert norm.running_mean.item() == 0


@pytest.mark.parametrize(
    "name", ["test_efficientnet", "test_byobnet", "test_resnet", "efficientnet_lite0", "regnety_002"]
)
@pytest.mark.parametrize("training", [False, True])
def test_what_a_layer_does_beside_it_stays(name: str, training: bool) -> None:
    """Layers of timm activate too: outputs and statistics are those of the unchanged model."""
    torch.manual_seed(0)
    plain = timm.create_model(name, num_classes=3).train(training)
    ours = copy.deepcopy(plain)
    set_batch_norm(ours, "synced")
    set_batch_norm(ours, "retain")  # a second time
    set_batch_norm(ours, "synced")
    images = torch.randn(4, 3, 64, 64)
    torch.testing.assert_close(ours(images), plain(images))
    for (key, one), other in zip(ours.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, msg=key)


def test_a_layer_that_activates_does_so_in_every_mode() -> None:
    norm = timm.layers.BatchNormAct2d(1).train()
    values = torch.tensor([100.0, 1, 3]).view(3, 1, 1, 1)
    set_batch_norm(norm, "retain")
    set_first_row(norm, 1)
    expected = torch.tensor([98.0, 0, 1]) / (1 + EPS) ** 0.5  # -1 before the activation
    torch.testing.assert_close(norm(values).flatten(), expected)
    set_batch_norm(norm, "frozen")
    assert (norm.eval()(torch.full((1, 1, 1, 1), -5.0)) == 0).all()


def test_a_batch_norm_with_a_forward_of_its_own_is_refused() -> None:
    class Doubled(nn.BatchNorm1d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(input)

    with pytest.raises(UserError, match=r"^1 is a .*Doubled, a batch norm with a forward pass of its own; those of"):
        set_batch_norm(nn.Sequential(nn.Linear(1, 1), Doubled(1)), "synced")
