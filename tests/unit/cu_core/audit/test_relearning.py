"""Relearning of a table of answers: what the shots are, which rows are judged, and when half of them is right."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cu_core.audit import relearning as module
from cu_core.audit.rebound import rebound
from cu_core.audit.relearning import relearning
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.types import RequestKind
from cu_core.unlearn.loop import Loop
from tests.golden.tiny_clip import CLASSES, TEMPLATES, tiny_clip
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


def test_the_asked_optimizer_learns() -> None:
    """AdamW moves each of both logits by about its rate: after 10 steps of 0.05 their difference of 1 is made up."""
    reader = PlantedReader(train=[0] * 12 + [1] * 30, val=[0, 1] * 8, test=[0] * 4 + [1] * 6)
    groups = np.zeros(reader.total, np.int64)
    for split in ("train", "val", "test"):
        groups[reader._ids[split]] = reader._labels[split]
    split = planted_split(reader, "class", list(range(12)))
    steps = {}
    for name in ("sgd", "adamw"):
        config = AuditConfig(relearn_steps=STEPS, relearn_lr=0.05, optimizer=name)  # type: ignore[arg-type]
        made = Subject(Lookup([[0.0, 1.0], [0.0, 1.0]], groups=groups), split, config, 0)  # type: ignore[arg-type]
        steps[name] = relearning(made).metrics["relearn_5_steps"].value
    assert 10 <= steps["adamw"] <= 12
    assert steps["sgd"] == first_right([0.0, 1.0], 0, 0.05) != steps["adamw"]


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


def captioned(texts_train: bool, steps: int = 3) -> Subject:
    """A tiny image-text model of four classes; class 0 is forgotten."""
    labels = [0] * 12 + [1, 2, 3] * 8
    reader = PlantedReader(train=labels, val=labels, test=labels)
    ids = [i for split in ("train", "val", "test") for i in reader.sample_ids(split, slice(None)).tolist()]
    reader._captions = {i: [f"a {CLASSES[c]}"] for i, c in zip(ids, labels * 3, strict=True)}
    config = AuditConfig(relearn_steps=steps, rebound_steps=steps, relearn_lr=0.5, rebound_lr=0.5, rebound_batch=8)
    return Subject(tiny_clip(1, texts_train), planted_split(reader, "class", list(range(12))), config, 0)  # type: ignore[arg-type]


def embedded(monkeypatch: pytest.MonkeyPatch, subject: Subject) -> list[int]:
    """Number of prompts of each pass from now on; captions of steps come in batches of other sizes."""
    found: list[int] = []
    features = type(subject.model)._features  # type: ignore[attr-defined]

    def look(model: Any, prompts_TCL: Tensor) -> Tensor:
        found.append(prompts_TCL.shape[1])
        return features(model, prompts_TCL)

    monkeypatch.setattr(type(subject.model), "_features", look)
    return found


def test_prompts_of_a_frozen_text_tower_are_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = captioned(texts_train=False)
    monkeypatch.setattr(module, "MOST_CLASSES", 2)
    passes = embedded(monkeypatch, subject)
    relearning(subject)
    assert passes == [len(CLASSES)]


def test_a_tower_that_trains_embeds_all_prompts_of_few_classes_after_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = captioned(texts_train=True)
    passes = embedded(monkeypatch, subject)
    relearning(subject)
    assert passes == [len(CLASSES)] * (1 + 3)


def test_of_many_classes_it_embeds_a_stated_number_and_chooses_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The class of the measured rows is among them, and answers are compared with the right labels."""
    subject = captioned(texts_train=True)
    whole = relearning(subject).curves["relearn_5"]
    monkeypatch.setattr(module, "MOST_CLASSES", 3)
    passes = embedded(monkeypatch, subject)
    few = relearning(subject).curves["relearn_5"]
    assert passes == [3] * (1 + 3)
    assert all(one >= other for one, other in zip(few, whole, strict=True))  # fewer classes to confuse
    classes = module._chosen_from(subject.model, np.array([2, 2]))
    assert classes is not None
    assert len(classes) == 3
    assert 2 in classes
    out = copy.deepcopy(subject.model)
    images = subject.split.reader.images("test", np.arange(6))
    with torch.no_grad(), out.among(classes.tolist()):  # type: ignore[operator]
        torch.testing.assert_close(out(images).logits, subject.model(images).logits[:, classes])
    torch.testing.assert_close(out(images).logits, subject.model(images).logits)


def test_rebound_embeds_all_prompts_only_where_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = captioned(texts_train=True)
    passes = embedded(monkeypatch, subject)
    rebound(subject)
    assert passes == [1] * 3 + [len(CLASSES)]
    assert len(TEMPLATES) > 1
