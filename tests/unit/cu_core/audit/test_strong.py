"""Figures of planted pools of models."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from cu_core.audit.explain_strong import STRONG
from cu_core.audit.strong import Margins, margins_of, pool_a, pool_b, spread
from cu_core.data.forget_split import RowSet
from cu_core.metrics import lira
from cu_core.metrics.ensembles import forgetting_epsilon, forgetting_quality, gaussian_divergence, klom
from cu_core.metrics.lira import u_lira, u_lira_offline, u_rmia
from tests.unit.cu_core.planted import Lookup, PlantedReader, planted_split

EXACT = 1e-9
ROWS = 40


def made(target: Any, unseen: Any, retain: float = 0.8, test: float = 0.6) -> Margins:
    return Margins(np.asarray(target), np.asarray(unseen), np.asarray(retain), np.asarray(test))


def pools(rng: np.random.Generator, models: int, shift: float = 0.0) -> dict[str, list[Margins]]:
    """Unlearned models are oracles moved by ``shift``; originals by 6 on forget rows; accuracies differ by role."""

    def pool(moved: float, retain: float) -> list[Margins]:
        return [made(rng.normal(moved, 1, ROWS), rng.normal(size=ROWS), retain, 0.5) for _ in range(models)]

    return {"original": pool(6, 1.0), "unlearned": pool(shift, 0.4), "oracle": pool(0, 0.8)}


@pytest.mark.parametrize("name", ["klom", "gaussian"])
def test_one_half_is_held_against_the_other_half_of_the_oracles_and_never_against_itself(
    name: str, rng: np.random.Generator
) -> None:
    given = pools(rng, 64, 1.0)
    figures = {f.name: f for f in pool_a(given)[0]}
    distance = klom if name == "klom" else gaussian_divergence
    stack = {role: np.stack([m.target for m in models]) for role, models in given.items()}
    unseen = np.stack([m.unseen for m in given["unlearned"]])
    figure = figures[f"{name}_forget"]
    for value, role in (
        (figure.unlearned, "unlearned"),
        (figure.retrained, "oracle"),
        (figure.doing_nothing, "original"),
    ):
        assert value == pytest.approx(np.percentile(distance(stack[role][:32], stack["oracle"][32:]), 95), abs=EXACT)
    assert figure.retrained > 0.1  # of a pool with itself it would be 0
    against = np.stack([m.unseen for m in given["oracle"]])[32:]
    other = figures[f"{name}_unseen"]
    assert other.unlearned == pytest.approx(np.percentile(distance(unseen[:32], against), 95), abs=EXACT)
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low <= figure.unlearned <= figure.high


def test_an_odd_oracle_is_left_out_and_the_halves_are_equal(rng: np.random.Generator) -> None:
    given = pools(rng, 9)
    stack = [np.stack([m.target for m in given[role]]) for role in ("unlearned", "oracle")]
    figures = {f.name: f for f in pool_a(given)[0]}
    want = np.percentile(gaussian_divergence(stack[0][:4], stack[1][4:8]), 95)
    assert figures["gaussian_forget"].unlearned == pytest.approx(want, abs=EXACT)


def test_few_models_give_no_klom_and_say_so(rng: np.random.Generator) -> None:
    """8 models, 4 against 4: histograms of 20 bins do not show 2 standard deviations, normal distributions do."""
    figures, absent = pool_a(pools(rng, 8))
    names = {f.name: f for f in figures}
    assert set(absent) == {"klom_forget", "klom_unseen"}
    assert "4 models against 4 do not show a shift of 2 standard deviations" in absent["klom_forget"]
    assert f"{ROWS} rows" in absent["klom_forget"]
    assert {*names, *absent} | {"u_lira_auc", "u_lira_offline_auc", "u_rmia_auc"} == set(STRONG)
    assert names["gaussian_forget"].detects is not None
    assert names["gaussian_forget"].detects <= 1.5
    assert names["forgetting_quality"].detects is None


def test_more_models_find_smaller_shifts_and_what_they_are_said_to_find(rng: np.random.Generator) -> None:
    limits = {n: {f.name: f.detects for f in pool_a(pools(rng, n))[0]} for n in (16, 64)}
    for name in ("gaussian_forget", "gaussian_unseen"):
        assert limits[64][name] < limits[16][name]  # type: ignore[operator]
    assert limits[64]["klom_forget"] is not None
    shift = limits[16]["gaussian_forget"]
    assert shift is not None

    def tail(moved: np.ndarray, reference: np.ndarray) -> float:
        return float(np.percentile(gaussian_divergence(moved, reference), 95))

    draws = rng.normal(size=(300, 3, 8, ROWS))
    limit = np.quantile([tail(a, c) - tail(b, c) for a, b, c in draws], 0.95)
    found = np.mean([tail(a + shift, c) - tail(b, c) > limit for a, b, c in draws])
    less = np.mean([tail(a + shift - 0.5, c) - tail(b, c) > limit for a, b, c in draws])
    assert found > 0.7
    assert less < 0.9


def test_quality_is_times_both_accuracies_over_the_oracles_other_half(rng: np.random.Generator) -> None:
    """Retain accuracy .4 against .8, test accuracy .5 against .5: half of the quality; of originals 1 over .8."""
    given = pools(rng, 16)
    figures = {f.name: f for f in pool_a(given)[0]}
    stack = {role: np.stack([m.target for m in models]) for role, models in given.items()}
    want = {r: forgetting_quality(forgetting_epsilon(s[:8], stack["oracle"][8:])) for r, s in stack.items()}
    quality, score = figures["forgetting_quality"], figures["challenge_score"]
    assert (quality.unlearned, quality.doing_nothing, quality.retrained) == pytest.approx(
        (want["unlearned"], want["original"], want["oracle"]), abs=EXACT
    )
    assert (score.unlearned, score.doing_nothing, score.retrained) == pytest.approx(
        (want["unlearned"] / 2, want["original"] * 1.25, want["oracle"]), abs=EXACT
    )
    for m in given["unlearned"]:
        m.test_accuracy[()] = 0.25
    assert {f.name: f for f in pool_a(given)[0]}["challenge_score"].unlearned == pytest.approx(want["unlearned"] / 4)


def test_each_attack_judges_each_role_by_what_it_was_trained_on(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cu_core.audit import strong

    auc_over_models = partial(lira.auc_over_models, draws=20)  # 500 take a while
    monkeypatch.setattr(strong, "auc_over_models", auc_over_models)
    trained = rng.random((8, 12)) < 0.5
    given = {
        role: [made(rng.normal(size=12) + move * row, rng.normal(size=9)) for row in trained]
        for role, move in (("original", 4.0), ("unlearned", 1.0))
    }
    figures = {f.name: f for f in pool_b(given, trained)}
    target, population = (
        {role: np.stack([getattr(m, part) for m in models]) for role, models in given.items()}
        for part in ("target", "unseen")
    )
    attacks = {
        "u_lira_auc": lambda role: u_lira(target[role], trained),
        "u_lira_offline_auc": lambda role: u_lira_offline(target[role], trained),
        "u_rmia_auc": lambda role: u_rmia(target[role], trained, population[role]),
    }
    assert list(figures) == list(attacks)
    for name, scores in attacks.items():
        figure = figures[name]
        want = auc_over_models(scores("unlearned"), trained)
        assert (figure.unlearned, figure.low, figure.high) == pytest.approx(want, abs=EXACT)
        assert figure.doing_nothing == pytest.approx(auc_over_models(scores("original"), trained)[0], abs=EXACT)
        assert figure.retrained == 0.5


def test_rows_are_spread_evenly() -> None:
    assert spread(np.arange(10) * 7, 4).tolist() == [0, 21, 42, 63]
    assert spread(np.arange(3), 3).tolist() == [0, 1, 2]
    assert spread(np.arange(3), 9).tolist() == [0, 1, 2]


def test_margins_are_of_the_rows_asked_for() -> None:
    """Logits (id, 0): the margin of a row of class 0 is its id, of class 1 minus its id."""
    reader = PlantedReader(train=[0] * 30 + [1] * 30, val=[0, 1] * 20, test=[0, 1, 1, 1] * 5)
    split = planted_split(reader, "sample", list(range(30)))
    model: Any = Lookup(np.stack([np.arange(reader.total), np.zeros(reader.total)], 1))
    found = margins_of(model, split, RowSet("train", np.array([40, 2, 7])))
    assert found.target.tolist() == pytest.approx([-43, 5, 10], abs=1e-6)
    ids, labels = (f("val", split.holdout.rows) for f in (reader.sample_ids, reader.labels))
    assert found.unseen.tolist() == pytest.approx(np.where(labels == 0, ids, -ids).tolist(), abs=1e-6)
    assert float(found.retain_accuracy) == 0  # retain rows are of class 1, and every row is given class 0
    assert float(found.test_accuracy) == 0.25
