"""Views with planted angles: what is measured is checked by plain double loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cu_core.audit import views as module
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.views import VIEWS, mean_view_cosines, uniformity, views
from cu_core.types import Outputs
from tests.unit.cu_core.planted import PlantedReader, planted_split

EXACT = 1e-6


class Angles(nn.Module):
    """View v of a row lies at the angle ``places[id] + v * spreads[id]``."""

    objective = "simclr"

    def __init__(self, places: dict[int, float], spreads: dict[int, float]):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.places, self.spreads = places, spreads
        self.modes: list[bool] = []

    def forward(self, seen: Tensor) -> Outputs:
        self.modes.append(self.training)
        angles = torch.tensor([self.places[int(i)] + float(v) * self.spreads[int(i)] for i, v in seen])
        z = 5 * torch.stack([angles.cos(), angles.sin()], 1)
        return Outputs(z, z, z)


@pytest.fixture(autouse=True)
def _numbered_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view is the row's id and the number of the view."""

    def numbered(images: Tensor, sample_ids: np.ndarray, *keys: int) -> Tensor:
        assert len(images) == len(sample_ids)
        return torch.tensor([[float(i), float(keys[-1])] for i in sample_ids])

    monkeypatch.setattr(module, "random_views", numbered)


def planted(close: float, apart: float, seed: int = 0, **config: Any) -> Subject:
    """Class 0 is forgotten: 6 train rows whose views differ by ``close``; its 4 rows of val differ by ``apart``. Other
    rows of val are as close as trained ones, and must not count."""
    reader = PlantedReader(train=[0] * 6 + [1] * 9, val=[0] * 4 + [1] * 5, test=[0] * 3 + [1] * 3)
    split = planted_split(reader, "class", list(range(6)))
    ids = range(reader.total)
    spreads = dict.fromkeys(ids, close)
    outside = reader.sample_ids("val", np.arange(4))
    spreads |= {int(i): apart for i in outside}
    model: Any = Angles({i: 0.3 * i for i in ids}, spreads)
    return Subject(model, split, AuditConfig(**config), seed)


def mean_distance(spread: float) -> float:
    pairs = list(itertools.combinations(range(VIEWS), 2))
    return sum(2 - 2 * math.cos(spread * (b - a)) for a, b in pairs) / len(pairs)


def test_alignment_and_the_attack_are_those_of_the_planted_angles() -> None:
    found = views(planted(0.01, 0.05)).metrics
    assert found["forget_alignment"].value == pytest.approx(mean_distance(0.01), abs=EXACT)
    assert found["forget_alignment"].count == 6
    assert found["mia_view_auc"].value == 1
    assert found["mia_view_auc"].count == 6 + 2  # of four rows of val, half are holdout rows
    assert views(planted(0.05, 0.01)).metrics["mia_view_auc"].value == 0
    assert views(planted(0.0, 0.0)).metrics["mia_view_auc"].value == pytest.approx(0.5)


def test_uniformity_is_over_pairs_of_rows_of_one_view() -> None:
    """Rows lie 0.3 apart on the circle, each with a first view of its own."""
    pairs = list(itertools.combinations(range(6), 2))
    total = sum(math.exp(-2 * (2 - 2 * math.cos(0.3 * (b - a)))) for a, b in pairs)
    found = views(planted(0.01, 0.05)).metrics["forget_uniformity"]
    assert (found.value, found.count) == (pytest.approx(math.log(total / len(pairs)), abs=EXACT), 6)
    assert uniformity(np.ones((5, 1))) == pytest.approx(0)
    with pytest.raises(ValueError, match="two rows or more"):
        uniformity(np.ones((1, 1)))


def test_mean_cosines_against_a_plain_loop() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    want = [np.mean([row[a] @ row[b] for a, b in itertools.combinations(range(4), 2)]) for row in x]
    np.testing.assert_allclose(mean_view_cosines(x), want)


def test_rows_are_bounded_and_drawn_with_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 4)
    few = [views(planted(0.01, 0.05, seed)).metrics for seed in (0, 0, 1)]
    assert few[0]["forget_alignment"].count == 4
    assert few[0] == few[1]
    assert few[0]["forget_uniformity"] != few[2]["forget_uniformity"]
    assert views(planted(0.01, 0.05, max_rows=3)).metrics["forget_alignment"].count == 3


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_in_evaluation_mode_and_left_as_it_was(training: bool) -> None:
    made = planted(0.01, 0.05)
    made.model.train(training)
    views(made)
    assert not any(made.model.modes)  # type: ignore[arg-type]
    assert made.model.training is training


def test_models_trained_with_cross_entropy_have_no_such_figure() -> None:
    made = planted(0.01, 0.05)
    made.model.objective = "cross_entropy"
    assert views(made).metrics == {}
