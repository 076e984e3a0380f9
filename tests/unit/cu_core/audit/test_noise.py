"""Noise on linear models, whose answers under the best perturbation are known in closed form."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cu_core.audit import noise as module
from cu_core.audit.noise import descend, noise
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.data.forget_split import RowSet
from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import Outputs


class Linear(nn.Module):
    """Two classes: the difference of the logits of classes 0 and 1 is w . x + b."""

    def __init__(self, weight: list[float], bias: float):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.tensor(weight)), bias
        self.modes: list[bool] = []

    def forward(self, images: Tensor) -> Outputs:
        self.modes.append(self.training)
        margin = images.flatten(1).float() @ self.weight + self.bias
        return Outputs(margin[:, None], margin[:, None], torch.stack([margin, torch.zeros_like(margin)], 1))


def planted(images: np.ndarray, model: Any, labels: Any = None, seed: int = 0, **config: Any) -> Subject:
    """``images`` (N, pixels) are the forget rows, of class 0 unless said otherwise."""
    labels = np.zeros(len(images), np.int64) if labels is None else np.asarray(labels)
    reader = SimpleNamespace(
        images=lambda split, rows: torch.from_numpy(images[rows].astype(np.uint8)).view(len(rows), 1, 1, -1),
        labels=lambda split, rows: labels[rows],
    )
    split: Any = SimpleNamespace(reader=reader, forget_reported=RowSet("train", np.arange(len(images))))
    return Subject(model, split, AuditConfig(**config), seed)


def test_pgd_brings_back_what_the_largest_change_can() -> None:
    """The margin is x0 - 2 x1 + 100. A change of 8 adds 8 (1 + 2) = 24 at most: -23 is enough, -25 is not, and a row
    that is right already (+5) is not brought back. At x1 = 2, 8 + 2 * 2 = 12 is the most: -11 is enough, -13 is not."""
    images = np.array([[77, 100], [75, 100], [105, 100], [93, 2], [91, 2]])
    first, last = Linear([1.0, -2.0], 100.0), Linear([1.0, -2.0], -100.0)
    assert _margins(first, images[:3]) == [-23, -25, 5]
    assert _margins(last, images[3:]) == [-11, -13]
    assert _changes(first, images[:2]) == [[8, -8]] * 2
    assert _changes(last, images[3:]) == [[8, -2]] * 2
    found = noise(planted(images[:3], first)).metrics["noise_pgd"]
    assert (found.value, found.count) == (pytest.approx(100 / 3, abs=1e-4), 3)
    assert noise(planted(images[3:], last)).metrics["noise_pgd"].value == 50


def _floats(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).view(len(images), 1, 1, -1).float()


def _margins(model: Linear, images: np.ndarray) -> list[float]:
    return model(_floats(images)).logits[:, 0].tolist()  # type: ignore[no-any-return]


def _changes(model: Any, images: np.ndarray) -> list[list[float]]:
    before = _floats(images)
    moved = descend(model, before, torch.zeros(len(images), dtype=torch.long), 8.0)
    return (moved - before).flatten(1).tolist()  # type: ignore[no-any-return]


def test_pgd_moves_towards_the_label_of_each_row() -> None:
    """A margin of +3 is wrong for class 1 and one pixel of change 4 lowers it to -1; class 0 needs the other way."""
    images = np.array([[103], [97], [103]])
    found = noise(planted(images, Linear([1.0], -100.0), labels=[1, 0, 0], noise_levels=4.0)).metrics
    assert found["noise_pgd"].value == pytest.approx(200 / 3, abs=1e-4)
    assert noise(planted(images, Linear([1.0], -100.0), labels=[1, 0, 0], noise_levels=2.0)).metrics[
        "noise_pgd"
    ].value == 0  # fmt: skip


def test_random_noise_brings_back_the_share_that_its_distribution_says() -> None:
    """One pixel at -4 of the border, noise uniform in [-8, 8]: right above +4, in 1 of 4 draws."""
    images = np.full((400, 1), 96)
    found = noise(planted(images, Linear([1.0], -100.0))).metrics["noise_random"]
    assert found.count == 400
    assert found.value == pytest.approx(25, abs=100 * 4 * (0.25 * 0.75 / 4000) ** 0.5)
    nearer = noise(planted(images, Linear([1.0], -97.0))).metrics["noise_random"]  # above +1: 7 of 16
    assert nearer.value == pytest.approx(43.75, abs=3.2)
    assert noise(planted(images, Linear([1.0], -105.0))).metrics["noise_random"].value == 0
    assert noise(planted(images, Linear([1.0], -90.0))).metrics["noise_random"].value == 0  # right without


def test_draws_and_rows_depend_on_the_seed_alone() -> None:
    images = np.random.default_rng(0).integers(80, 100, (60, 1))

    def values(seed: int) -> tuple[float, float]:
        found = noise(planted(images, Linear([1.0], -100.0), seed=seed, max_rows=40)).metrics
        return found["noise_random"].value, found["noise_pgd"].value

    torch.manual_seed(1)
    first = values(0)
    torch.manual_seed(2)
    assert values(0) == first
    assert values(1) != first


def test_the_number_of_rows_is_bounded_and_they_come_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 30)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 16)
    images = np.full((50, 1), 96)
    model = Linear([1.0], -100.0)
    assert noise(planted(images, model)).metrics["noise_pgd"].count == 30
    assert len(model.modes) == 2 * (1 + module.DRAWS + module.PGD_STEPS + 1)  # 16 rows, then 14
    assert noise(planted(images, model, max_rows=20)).metrics["noise_pgd"].count == 20


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_in_evaluation_mode_and_left_as_it_was(training: bool) -> None:
    model = Linear([1.0], -100.0).train(training)
    noise(planted(np.full((3, 1), 96), model))
    assert not any(model.modes)
    assert model.training is training
    assert model.weight.grad is None


def test_image_text_models_have_no_such_figure() -> None:
    model = ImageTextClassifier.__new__(ImageTextClassifier)
    assert noise(planted(np.full((3, 1), 96), model)).metrics == {}
