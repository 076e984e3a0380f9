"""Plain training of a table of answers: only the lines of rows that are trained on change."""

from __future__ import annotations

import numpy as np
import pytest

from cu_core.audit.rebound import rebound
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.types import RequestKind
from tests.unit.cu_core.planted import Lookup, PlantedReader, planted_split, table

EXACT = 1e-9
FORGET = list(range(24))


def descent(logits: list[float], label: int, lr: float, steps: int) -> list[list[float]]:
    """Logits after 0, 1, ... steps of SGD with momentum 0.9 on the cross-entropy of rows that share them."""
    z, velocity = np.array(logits, float), np.zeros(len(logits))
    found = [z.tolist()]
    for _ in range(steps):
        p = np.exp(z - z.max())
        velocity = 0.9 * velocity + p / p.sum() - np.eye(len(z))[label]
        z = z - lr * velocity
        found.append(z.tolist())
    return found


def first_right(logits: list[float], label: int, lr: float) -> int:
    return next(step for step, z in enumerate(descent(logits, label, lr, 500)) if int(np.argmax(z)) == label)


def test_rows_that_share_nothing_with_retain_rows_do_not_come_back() -> None:
    """One test row in four of the class is right, and stays the only one; no train row of the class is."""
    reader = PlantedReader(train=[0] * 24 + [1] * 20, val=[0, 1] * 8, test=[0] * 4 + [1] * 6)
    split = planted_split(reader, "class", FORGET)
    right = int(reader.sample_ids("test", 2))
    labels = dict.fromkeys(range(reader.total), 1) | {right: 0}
    made = Subject(Lookup(table(reader.total, labels, 2)), split, AuditConfig(rebound_steps=40, rebound_lr=1.0), 0)  # type: ignore[arg-type]
    before = made.model.table.detach().clone()
    metric = rebound(made).metrics["rebound_accuracy"]
    assert (metric.value, metric.count) == (pytest.approx(25, abs=EXACT), 4)
    assert bool((made.model.table == before).all())  # the audited model itself is not trained


@pytest.mark.parametrize("late", [0, 1])
def test_rows_that_share_a_line_with_retain_rows_come_back_when_these_are_learned(late: int) -> None:
    """All rows of a sample request share the line of the retain rows; how many steps it takes is known."""
    steps = first_right([0.0, 1.0], 0, lr=0.05)
    assert steps > 3
    reader = PlantedReader(train=[0] * 44, val=[0, 1] * 8, test=[0] * 4 + [1] * 6)
    split = planted_split(reader, "sample", FORGET)
    model = Lookup([[0.0, 1.0]], groups=np.zeros(reader.total, np.int64))
    config = AuditConfig(rebound_steps=steps - 1 + late, rebound_lr=0.05, relearn_lr=9.0, rebound_batch=7)
    metric = rebound(Subject(model, split, config, 0)).metrics["rebound_accuracy"]  # type: ignore[arg-type]
    assert (metric.value, metric.count) == (100 * late, len(split.forget_reported))


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_forget_rows_are_not_trained_on(kind: RequestKind) -> None:
    """Samples: reported forget rows have lines of their own, with wrong answers; those that decide have right ones."""
    reader = PlantedReader(train=[0] * 24 + [1] * 20, val=[0, 1] * 8, test=[0] * 4 + [1] * 6)
    split = planted_split(reader, kind, FORGET)
    assert kind == "class" or 0 < len(split.forget_reported) < 24
    decide = dict.fromkeys(reader.sample_ids("train", split.forget_stop.rows).tolist(), 0)
    labels = dict.fromkeys(range(reader.total), 1) | decide
    made = Subject(Lookup(table(reader.total, labels, 2)), split, AuditConfig(rebound_steps=60, rebound_lr=1.0), 0)  # type: ignore[arg-type]
    assert rebound(made).metrics["rebound_accuracy"].value == 0


def test_retain_rows_are_drawn_with_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    from cu_core.audit import rebound as module

    drawn = []
    monkeypatch.setattr(module, "run_loop", lambda loop: drawn.append(loop.stream.rows(0)))
    reader = PlantedReader(train=[0] * 24 + [1] * 400, val=[0, 1] * 8, test=[0] * 4 + [1] * 6)
    split = planted_split(reader, "class", FORGET)
    for seed in (0, 0, 1):
        rebound(Subject(Lookup(table(reader.total, {}, 2)), split, AuditConfig(rebound_batch=32), seed))  # type: ignore[arg-type]
    assert all(len(forget) == 0 and len(retain) == 32 for forget, retain in drawn)
    assert np.array_equal(drawn[0][1], drawn[1][1])
    assert not np.array_equal(drawn[0][1], drawn[2][1])
