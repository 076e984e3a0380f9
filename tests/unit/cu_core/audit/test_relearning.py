"""Relearning of a table of answers: what the shots are, which rows are judged, and when half of them is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cu_core.audit import relearning as module
from cu_core.audit.relearning import relearning
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.types import RequestKind
from cu_core.unlearn.loop import Loop
from tests.unit.cu_core.audit.test_rebound import first_right
from tests.unit.cu_core.planted import Lookup, PlantedReader, planted_split, table

EXACT = 1e-9
STEPS = 30


def planted(kind: RequestKind, forget: int = 12, model: Any = None, seed: int = 0, **config: Any) -> Subject:
    """``forget`` rows of class 0 first, then 30 retain rows of class 1; every row has a line of its own."""
    reader = PlantedReader(train=[0] * forget + [1] * 30, val=[0, 1] * 8, test=[0] * 4 + [1] * 6)
    split = planted_split(reader, kind, list(range(forget)))
    if model is None:
        labels = dict.fromkeys(range(reader.total), 1) | {int(reader.sample_ids("test", 2)): 0}
        model = Lookup(table(reader.total, labels, 2))
    return Subject(model, split, AuditConfig(relearn_steps=STEPS, **config), seed)  # type: ignore[arg-type]


def test_what_shares_nothing_with_the_shots_is_not_learned() -> None:
    """Class: one unseen row in four is right before, and nothing else after; trained rows are all right by then."""
    found = relearning(planted("class", relearn_lr=1.0))
    assert found.curves == {"relearn_5": [25.0] * (STEPS + 1)}
    metric, steps = found.metrics["relearn_5"], found.metrics["relearn_5_steps"]
    half = 196 * np.sqrt(0.25 * 0.75 / 4)
    assert (metric.value, metric.count) == (pytest.approx(25, abs=EXACT), 4)
    assert (metric.low, metric.high) == (pytest.approx(max(0, 25 - half)), pytest.approx(25 + half))
    assert (steps.value, steps.count) == (STEPS + 1, 4)


def test_shots_are_not_among_the_judged_rows() -> None:
    """Samples: the judged rows are the other reported ones, whose lines no step changes: 0 throughout. With the shots
    among them it would rise to 5 of all."""
    made = planted("sample", forget=60, relearn_lr=1.0)
    reported = len(made.split.forget_reported)
    assert 10 <= reported < 60
    found = relearning(made)
    assert found.curves["relearn_5"] == [0.0] * (STEPS + 1)
    assert found.metrics["relearn_5"].count == reported - 5


@pytest.mark.parametrize("shots", [5, 50])
def test_the_steps_to_half_and_the_mean_are_those_of_plain_descent(shots: int) -> None:
    """All rows of class 0 share one line, retain rows another; shots and retain rows each have a mean loss of their
    own, so that the line of the class descends as if alone."""
    lr = 0.05
    steps = first_right([0.0, 1.0], 0, lr)
    assert 3 < steps < STEPS
    reader = PlantedReader(train=[0] * 100 + [1] * 30, val=[0, 1] * 8, test=[0] * 4 + [1] * 6)
    groups = np.zeros(reader.total, np.int64)
    for split in ("train", "val", "test"):
        groups[reader._ids[split]] = reader._labels[split]
    made = Subject(
        Lookup([[0.0, 1.0], [0.0, 1.0]], groups=groups),
        planted_split(reader, "class", list(range(100))),
        AuditConfig(relearn_steps=STEPS, relearn_lr=lr, rebound_lr=3.0, rebound_batch=7),
        0,
    )  # type: ignore[arg-type]
    found = relearning(made)
    assert found.curves[f"relearn_{shots}"] == [0.0] * steps + [100.0] * (STEPS + 1 - steps)
    assert found.metrics[f"relearn_{shots}_steps"].value == steps
    assert found.metrics[f"relearn_{shots}"].value == pytest.approx(100 * (STEPS + 1 - steps) / STEPS, abs=EXACT)


@pytest.mark.parametrize(("forget", "names"), [(9, set()), (10, {"relearn_5"}), (100, {"relearn_5", "relearn_50"})])
def test_half_of_the_rows_at_most_are_shots(forget: int, names: set[str]) -> None:
    assert set(relearning(planted("class", forget)).curves) == names


def test_shots_are_drawn_with_seed_and_count_and_stay_the_same_beside_fresh_retain_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loops: list[Loop] = []

    def one_step(loop: Any) -> None:
        loops.append(loop)
        loop.on_step(None)

    monkeypatch.setattr(module, "run_loop", one_step)
    for seed in (0, 0, 1):
        relearning(planted("class", forget=40, seed=seed, rebound_batch=8))
    rows = [[loop.stream.rows(step) for step in range(3)] for loop in loops]
    for steps in rows:
        assert len(np.unique(steps[0][0])) == 5
        assert all(np.array_equal(forget, steps[0][0]) and (forget < 40).all() for forget, _ in steps)
        assert all((retain >= 40).all() and len(retain) == 8 for _, retain in steps)
        assert not np.array_equal(steps[0][1], steps[1][1])
    assert np.array_equal(rows[0][0][0], rows[1][0][0])
    assert np.array_equal(rows[0][0][1], rows[1][0][1])
    assert not np.array_equal(rows[0][0][0], rows[2][0][0])
    assert not np.array_equal(rows[0][0][1], rows[2][0][1])
