"""Features planted so that what unseen rows of the forgotten class show is known, and differs from train rows."""

from __future__ import annotations

import numpy as np
import pytest

from cu_core.audit.representation import _like_a_class, representation
from cu_core.audit.subject import Subject
from cu_core.metrics.accuracy import wilson_interval
from cu_core.metrics.representation import mean_cosine
from cu_core.unlearn.evaluate import Predictions
from tests.unit.cu_core.planted import predictions, subject

EXACT = 1e-9
AXES = np.eye(3) + 0.01
"""Three directions; class 2 is forgotten."""


def rows(places: list[int], label: list[int], hidden: list[int] | None = None) -> Predictions:
    """Rows along these axes, of the labels; ``hidden`` features along others."""
    count = len(places)
    noise = np.random.default_rng(1).normal(0, 1e-3, (count, 3))
    logits = np.zeros((count, 3))
    return predictions(logits, label, AXES[places] + noise, AXES[hidden or places] + noise)


def planted(test: Predictions, each: int = 40, forget: int = 40) -> Subject:
    train = rows([2] * forget, [2] * forget)
    retain = rows([0] * each + [1] * each, [0] * each + [1] * each)
    return subject(forget_all=train, retain_train=retain, forget_test=test)


def test_probes_are_scored_on_unseen_rows_each_on_its_own_layer() -> None:
    """Train rows of the class lie apart, and every probe has them all right. Of 4 unseen rows 1 lies with them in the
    embedding, 3 in the hidden feature."""
    test = rows([2, 0, 1, 0], [2] * 4, hidden=[2, 2, 2, 0])
    metrics = representation(planted(test)).metrics
    for name, percent in (("probe", 25), ("hidden_probe", 75), ("knn", 25)):
        metric = metrics[f"{name}_accuracy"]
        assert (metric.value, metric.count) == (pytest.approx(percent, abs=EXACT), 4)
    low, high = wilson_interval(1, 4)
    recovery = metrics["prototype_recovery"]
    assert (recovery.value, recovery.count) == (pytest.approx(25, abs=EXACT), 4)
    assert (recovery.low, recovery.high) == pytest.approx((100 * low, 100 * high), abs=EXACT)


def test_the_cosine_is_among_unseen_rows() -> None:
    """1 of 4 unseen rows along another axis: train rows have a mean cosine of 1."""
    test = rows([2, 2, 2, 0], [2] * 4)
    metric = representation(planted(test)).metrics["within_class_cosine"]
    mean, error = mean_cosine(test.embedding, test.labels)
    assert (metric.value, metric.count) == (mean, 4)
    assert mean == pytest.approx(0.5, abs=0.02)  # 3 of 6 pairs are parallel, the axes at 0.0202
    assert (metric.low, metric.high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=EXACT)


def test_neighbours_vote_with_as_many_forget_rows_as_a_retained_class_has() -> None:
    """6 forget rows are kept of 60: of 10 neighbours along the forgotten axis 6 are forget rows; along a retained axis
    all 6 of that class, and the rest."""
    assert representation(planted(rows([2, 2, 2], [2] * 3), each=6, forget=60)).metrics["knn_accuracy"].value == 100
    mask = _like_a_class(np.array([5] * 40 + [6] * 3), np.array([0] * 4 + [1] * 6 + [2] * 10), seed=0)
    assert (mask[:40].sum(), mask[40:].sum()) == (6, 3)


def test_the_forget_rows_that_vote_are_drawn_with_the_seed() -> None:
    labels, retained = np.array([5] * 40), np.array([0] * 10)
    masks = [_like_a_class(labels, retained, seed) for seed in (0, 0, 1)]
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


def test_the_shots_of_prototypes_are_drawn_with_the_subject_s_seed(rng: np.random.Generator) -> None:
    """Few rows of pure noise: what is recovered depends on the shots."""
    found = set()
    for seed in range(4):
        made = planted(predictions(np.zeros((30, 3)), [2] * 30, np.random.default_rng(5).normal(size=(30, 3))))
        made.seed = seed
        vars(made)["forget_all"] = predictions(
            np.zeros((40, 3)), [2] * 40, np.random.default_rng(6).normal(size=(40, 3))
        )
        first, again = (representation(made).metrics["prototype_recovery"].value for _ in range(2))
        assert first == again
        found.add(first)
    assert len(found) > 1


def test_of_several_forgotten_classes_each_has_its_own_figures() -> None:
    """Classes 1 and 2 forgotten, 0 retained. Unseen rows: of class 1 all lie with their train rows, of class 2 one in
    four, the others along class 0."""
    labels = [1] * 4 + [2] * 4
    made = subject(
        classes=(1, 2),
        forget_all=rows([1] * 10 + [2] * 10, [1] * 10 + [2] * 10),
        retain_train=rows([0] * 10, [0] * 10),
        forget_test=rows([1] * 4 + [2, 0, 0, 0], labels),
    )
    metrics = representation(made).metrics
    shares = {n: m for n, m in metrics.items() if n.startswith("prototype_recovery")}
    assert {n: (m.value, m.count) for n, m in shares.items()} == {
        "prototype_recovery": (62.5, 8),
        "prototype_recovery/1": (100, 4),
        "prototype_recovery/2": (25, 4),
    }
    low, high = wilson_interval(1, 4)
    one = metrics["prototype_recovery/2"]
    assert (one.low, one.high) == pytest.approx((100 * low, 100 * high), abs=EXACT)
    assert metrics["within_class_cosine/1"].value == pytest.approx(1, abs=0.001)
    assert metrics["within_class_cosine/2"].value == pytest.approx(0.5, abs=0.02)


def test_a_row_of_the_head_is_made_of_train_rows_and_scored_on_unseen_ones() -> None:
    """The logits of the retained classes are along their axes; 1 of 4 unseen rows lies with the train rows."""
    made = planted(rows([2, 0, 1, 0], [2] * 4))
    for name, kept in [(n, p) for n, p in vars(made).items() if isinstance(p, Predictions)]:
        logits = np.where([True, True, False], 4 * kept.embedding, -100)
        vars(made)[name] = predictions(logits, kept.labels, kept.embedding, kept.hidden)
    metric = representation(made).metrics["imprinted_accuracy"]
    low, high = wilson_interval(1, 4)
    assert (metric.value, metric.count) == (pytest.approx(25, abs=EXACT), 4)
    assert (metric.low, metric.high) == pytest.approx((100 * low, 100 * high), abs=EXACT)
