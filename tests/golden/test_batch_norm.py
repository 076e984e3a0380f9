"""N rows, C channels, L places (height times width) of each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import cu_core.models.batch_norm as batch_norm
from cu_core.models.batch_norm import RowBatchNorm, set_batch_norm, set_first_row
from cu_core.models.classifier import Classifier, JointForward
from cu_core.models.preprocess import Preprocess
from tests.golden.plain_losses import Array

CHANNELS, FORGET, RETAIN, EPS = 3, 2, 4, 1e-5


def layer(seed: int, mode: str) -> RowBatchNorm:
    norm, draw = nn.BatchNorm2d(CHANNELS).double(), np.random.default_rng([seed, 1])
    with torch.no_grad():
        for x in (norm.weight, norm.bias, norm.running_mean):
            x.copy_(torch.from_numpy(draw.normal(size=CHANNELS)))
        norm.running_var.copy_(torch.from_numpy(draw.uniform(0.5, 2, size=CHANNELS)))
    set_batch_norm(norm, mode)  # type: ignore[arg-type]
    assert isinstance(norm, RowBatchNorm)
    return norm.train()


def plain(x: Array, dy: Array, norm: dict[str, Array], measured: Array | None) -> tuple[Array, Array, list[Array]]:
    """(y, dx, [d weight, d bias, running mean, running variance]) for (N, C, L); statistics are those of the rows
    ``measured`` (a mask), or the stored ones."""
    y, dx, d_weight, d_bias = np.zeros_like(x), np.zeros_like(x), np.zeros(CHANNELS), np.zeros(CHANNELS)
    means, variances = norm["running_mean"].copy(), norm["running_var"].copy()
    for c in range(CHANNELS):
        mean, var, weight = means[c], variances[c], norm["weight"][c]
        values = [] if measured is None else [v for row in np.flatnonzero(measured) for v in x[row, c]]
        count = len(values)
        if count:
            mean = sum(values) / count
            var = sum((v - mean) ** 2 for v in values) / count
            means[c] = 0.9 * means[c] + 0.1 * mean
            variances[c] = 0.9 * variances[c] + 0.1 * var * count / (count - 1)
        unit = (x[:, c] - mean) / np.sqrt(var + EPS)
        y[:, c] = weight * unit + norm["bias"][c]
        d_weight[c], d_bias[c] = (dy[:, c] * unit).sum(), dy[:, c].sum()
        dx[:, c] = weight * dy[:, c] / np.sqrt(var + EPS)
        if measured is not None and count:
            dx[measured, c] -= weight / np.sqrt(var + EPS) / count * (d_bias[c] + unit[measured] * d_weight[c])
    return y, dx, [d_weight, d_bias, means, variances]


def compare(norm: RowBatchNorm, x: Array, measured: Array | None, shown: slice = slice(None)) -> None:
    """``shown``: the rows that this rank holds; the others are another rank's."""
    stored = {n: v.detach().double().numpy().copy() for n, v in norm.state_dict().items() if v.dim()}
    dy = np.random.default_rng(8).normal(size=x.shape)
    outside = np.ones(len(x), bool)
    outside[shown] = False
    dy[outside] = 0
    y, dx, rest = plain(x.reshape(*x.shape[:2], -1), dy.reshape(*x.shape[:2], -1), stored, measured)
    given = torch.from_numpy(x[shown].copy()).requires_grad_()
    out = norm(given)
    out.backward(torch.from_numpy(dy[shown]))
    found = [out.detach(), given.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]
    wanted = [y.reshape(x.shape)[shown], dx.reshape(x.shape)[shown], *rest]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def drawn(seed: int) -> Array:
    """Forget rows lie elsewhere than retain rows."""
    x = 2 * np.random.default_rng(seed).normal(size=(FORGET + RETAIN, CHANNELS, 2, 2)) + 1
    x[:FORGET] += 3
    return x


ROWS = {
    "synced": np.ones(FORGET + RETAIN, bool),
    "per_rank": np.ones(FORGET + RETAIN, bool),
    "retain": np.arange(FORGET + RETAIN) >= FORGET,
    "frozen": None,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", ROWS)
def test_which_rows_feed_the_statistics(seed: int, mode: str) -> None:
    norm = layer(seed, mode)
    set_first_row(norm, FORGET)  # has a meaning in mode retain alone
    compare(norm, drawn(seed), ROWS[mode])
    assert norm.num_batches_tracked.item() == (0 if mode == "frozen" else 1)


@pytest.mark.parametrize("mode", ROWS)
def test_stored_statistics_in_evaluation(mode: str) -> None:
    norm = layer(3, mode).eval()
    set_first_row(norm, FORGET)
    compare(norm, drawn(3), None)


def test_mode_retain_without_retain_rows_has_the_stored_statistics() -> None:
    norm = layer(4, "retain")
    set_first_row(norm, None)
    compare(norm, drawn(4), None)
    assert norm.num_batches_tracked.item() == 0


@pytest.mark.parametrize("mode", ["synced", "retain"])
def test_one_value_a_channel_is_too_few(mode: str) -> None:
    norm = layer(5, mode)
    set_first_row(norm, 1)
    x = drawn(5)[: 2 if mode == "retain" else 1, :, :1, :1]
    compare(norm, x, None)


@pytest.mark.parametrize("mode", ["synced", "retain", "per_rank"])
@pytest.mark.parametrize("mine", [slice(0, 4), slice(4, 6)])
def test_sums_of_another_rank_are_added(monkeypatch: pytest.MonkeyPatch, mode: str, mine: slice) -> None:
    """Two ranks; those of the other are constants here. Per rank, the own rows are all."""
    norm, x = layer(6, mode), drawn(6)
    first = FORGET if mode == "retain" else 0
    measured = np.arange(6) >= first
    own, other = np.zeros(6, bool), measured.copy()
    own[mine], other[mine] = True, False
    set_first_row(norm, max(0, first - mine.start))
    centred = (x[other] - norm.running_mean.numpy()[:, None, None]).transpose(1, 0, 2, 3).reshape(CHANNELS, -1)
    more = [*centred.sum(1), *(centred**2).sum(1), centred.shape[1]]
    monkeypatch.setattr(batch_norm, "world_size", lambda: 2)
    monkeypatch.setattr(batch_norm, "sum_with_gradient", lambda sums: sums + torch.tensor(more))
    compare(norm, x, measured & own if mode == "per_rank" else measured, mine)


def test_sums_of_half_precision_are_float32() -> None:
    norm = layer(7, "retain").float()
    set_first_row(norm, FORGET)
    wide = torch.from_numpy(np.repeat(drawn(7), 400, axis=2) + 5).bfloat16()
    stored, values = norm.running_mean.double().numpy().copy(), wide.double().numpy()[FORGET:]
    norm(wide)
    wanted = 0.9 * stored + 0.1 * values.mean((0, 2, 3))
    np.testing.assert_allclose(norm.running_mean, wanted, rtol=1e-5)


@pytest.mark.parametrize("sets", [("forget", "retain"), ("retain",), ("forget",)])
def test_the_joint_pass_says_which_rows_come_first(sets: tuple[str, ...]) -> None:
    norm = layer(9, "retain")
    body = nn.Sequential(norm, nn.Flatten(), nn.Linear(CHANNELS * 4, 2).double())
    model = Classifier(body, "1", "1", Preprocess(2, (0.5,) * 3, (0.25,) * 3)).train()
    draw = torch.Generator().manual_seed(1)
    counts = {"forget": FORGET, "retain": RETAIN}
    images = {n: torch.randint(256, (counts[n], CHANNELS, 2, 2), generator=draw, dtype=torch.uint8) for n in sets}
    before = norm.running_mean.numpy().copy()
    out = JointForward(model)(images)
    wanted = before
    if "retain" in sets:
        pixels = (images["retain"].double().numpy() / 255 - 0.5) / 0.25
        wanted = 0.9 * before + 0.1 * pixels.mean((0, 2, 3))
    np.testing.assert_allclose(norm.running_mean, wanted, rtol=1e-10)
    assert {n: len(o.logits) for n, o in out.items()} == {n: counts[n] for n in sets}


def test_layers_are_turned_in_place() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.BatchNorm2d(3))
    names = list(model.state_dict())
    set_batch_norm(model, "frozen")
    assert [type(m) for m in model] == [nn.Linear, RowBatchNorm, RowBatchNorm]
    assert list(model.state_dict()) == names
    model.train()
    assert [m.training for m in model] == [True, False, False]
    model[1](torch.zeros(4, 3))
    with pytest.raises(ValueError, match="batch norm needs"):
        model[1](torch.zeros(3))
