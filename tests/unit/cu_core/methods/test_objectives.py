"""Objectives on a linear model, against the losses and the rule of the momentum encoder by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cu_core.errors import UserError
from cu_core.losses.views import views_share
from cu_core.methods.base import StepContext
from cu_core.methods.finetune import FineTune
from cu_core.methods.objectives import KEY, QUEUE, Contrast, MoCo, TwoViews, objective_method
from cu_core.types import Batch, Outputs, UnlearnBatch

MOMENTUM, ROWS, WIDTH = 0.75, 3, 4


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, WIDTH, bias=False)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, images: Tensor) -> Outputs:
        self.seen += len(images)
        z = self.linear(images.flatten(1).float() / 255)
        return Outputs(z, z, z)


def batch(seed: int, rows: int = ROWS) -> UnlearnBatch:
    images = torch.randint(256, (2 * rows, 1, 1, 5), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    part = Batch(images, torch.tensor([0, 1, 0] * 2), torch.tensor([7, 8, 9] * 2))
    return UnlearnBatch(Batch(images[:0], part.labels[:0], part.sample_ids[:0]), part)


def context(model: Any, state: dict[str, Tensor], served: list[Tensor] | None = None) -> StepContext:
    def forward(sets: Any) -> dict[str, Outputs]:
        if served is not None:
            served.extend(sets.values())
        return {name: model(images) for name, images in sets.items()}

    return StepContext(forward, model, None, None, "class", (), 2, 0, 0, 1, 0.0, state)


def test_each_name_has_its_method_and_its_default_temperature() -> None:
    settings = Contrast()
    assert objective_method("cross_entropy", settings) == FineTune()
    assert objective_method("supcon", settings) == TwoViews(temperature=0.1, supervised=True)
    assert objective_method("simclr", settings) == TwoViews(temperature=0.5, supervised=False)
    assert objective_method("moco", settings) == MoCo(temperature=0.2, width=128, queue=4096, momentum=0.99)
    own = Contrast(temperature=0.3, projection=8, queue=5, momentum=0.5)
    assert objective_method("simclr", own) == TwoViews(temperature=0.3, supervised=False)
    assert objective_method("moco", own) == MoCo(temperature=0.3, width=8, queue=5, momentum=0.5)


@pytest.mark.parametrize("supervised", [True, False])
def test_labels_or_rows_are_what_views_have_in_common(supervised: bool) -> None:
    model, rows = Encoder(), batch(0)
    losses = TwoViews(temperature=0.4, supervised=supervised).losses(context(model, {}), rows)
    numbers = rows.retain.labels if supervised else rows.retain.sample_ids
    want = views_share(model(rows.retain.images).logits, numbers, temperature=0.4)
    torch.testing.assert_close(losses.total, want)
    assert losses.total.requires_grad
    torch.testing.assert_close(losses.terms["loss"], want.detach())


@pytest.mark.parametrize(
    ("supervised", "classes", "forgotten", "rows", "passes"),
    [(True, 3, (1,), 9, True), (True, 2, (1,), 9, False), (False, 2, (1,), 2, True), (False, 2, (), 1, False)],
)
def test_something_must_differ(supervised: bool, classes: int, forgotten: Any, rows: int, passes: bool) -> None:
    split = SimpleNamespace(forget=SimpleNamespace(classes=forgotten), num_retain=rows)
    prep: Any = SimpleNamespace(split=split, num_classes=classes)
    method = TwoViews(temperature=0.4, supervised=supervised)
    if passes:
        assert method.prepare(prep) == 0
    else:
        with pytest.raises(UserError, match="which needs two (classes: take simclr|rows)"):
            method.prepare(prep)


def moco_state(model: Encoder, method: MoCo, seed: int = 0) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    prep: Any = SimpleNamespace(model=model, state=state, seed=seed)
    assert method.prepare(prep) == 0
    return state


def test_moco_starts_with_a_copy_and_a_queue_of_the_seed() -> None:
    model, method = Encoder(), MoCo(temperature=0.2, width=WIDTH, queue=6, momentum=MOMENTUM)
    first, again, other = (moco_state(model, method, seed) for seed in (0, 0, 1))
    assert set(first) == {QUEUE, f"{KEY}linear.weight", f"{KEY}seen"}
    assert torch.equal(first[f"{KEY}linear.weight"], model.linear.weight)
    assert first[f"{KEY}linear.weight"].data_ptr() != model.linear.weight.data_ptr()
    torch.testing.assert_close(first[QUEUE].norm(dim=1), torch.ones(6))
    assert torch.equal(first[QUEUE], again[QUEUE])
    assert not torch.equal(first[QUEUE], other[QUEUE])


def test_moco_follows_and_queues_as_its_pseudo_code_says() -> None:
    """Two steps of algorithm 1 of He et al. 2020, with another encoder in each; keys are of the second views."""
    model, method = Encoder(), MoCo(temperature=0.2, width=WIDTH, queue=6, momentum=MOMENTUM)
    state = moco_state(model, method)
    key_weight, queue = model.linear.weight.detach().clone(), state[QUEUE].clone()
    with torch.no_grad():
        model.linear.weight += 1  # an update
    for step in range(2):
        served: list[Tensor] = []
        rows = batch(step).retain.images
        key_weight = MOMENTUM * key_weight + (1 - MOMENTUM) * model.linear.weight.detach()
        keys = F.normalize(rows[ROWS:].flatten(1).float() / 255 @ key_weight.T)
        queries = F.normalize(rows[:ROWS].flatten(1).float() / 255 @ model.linear.weight.detach().T)
        scores = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue.T], 1) / 0.2
        want = F.cross_entropy(scores, torch.zeros(ROWS, dtype=torch.long))
        losses = method.losses(context(model, state, served), batch(step))
        torch.testing.assert_close(losses.total.detach(), want)
        assert [x.tolist() for x in served] == [rows[:ROWS].tolist()]
        queue = torch.cat([keys, queue])[:6]
        torch.testing.assert_close(state[QUEUE], queue)
        torch.testing.assert_close(state[f"{KEY}linear.weight"], key_weight)
        (gradient,) = torch.autograd.grad(losses.total, model.linear.weight)
        assert gradient.norm() > 0
        with torch.no_grad():
            model.linear.weight -= gradient
    assert float(state[f"{KEY}seen"]) == 2 * ROWS  # buffers of its own
    assert float(model.seen) == 2 * ROWS
    assert not state[f"{KEY}linear.weight"].requires_grad


@pytest.mark.parametrize(
    ("objective", "settings", "message"),
    [
        ("cross_entropy", Contrast(temperature=0.3), "train.contrast is for train.objective=supcon, simclr or moco"),
        ("simclr", Contrast(queue=5), "queue and momentum are for train.objective=moco; it is simclr"),
        ("supcon", Contrast(momentum=0.5), "queue and momentum are for train.objective=moco; it is supcon"),
    ],
)
def test_settings_without_effect_are_refused(objective: Any, settings: Contrast, message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings.check(objective)


def test_settings_with_effect_pass() -> None:
    Contrast().check("cross_entropy")
    Contrast(temperature=0.3, projection=5, probe_rows=9).check("simclr")
    Contrast(queue=5, momentum=0.5).check("moco")
