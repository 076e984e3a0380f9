"""Retrieval on planted features: four orthogonal directions, so that what finds what is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cu_core.audit.retrieval import retrieval
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.metrics import retrieval as metrics
from cu_core.metrics.membership import auc_interval
from cu_core.types import MetricResult
from tests.unit.cu_core.audit.pairs import PlantedPairs
from tests.unit.cu_core.planted import PlantedReader, planted_split

EXACT = 1e-6
AXES = np.eye(8)
NAMES = ("zero", "one", "two", "three")
PROMPTS = {name: AXES[c] for c, name in enumerate(NAMES)}


def class_subject(images: dict[int, Any], test: list[int], captions: dict[int, str] | None = None) -> Subject:
    """Class 0 forgotten; an image lies along its class unless ``images`` (by place in the test split) says otherwise; a
    caption is its class's name."""
    reader = PlantedReader(train=[0] * 6 + [1, 2, 3] * 2, val=[0, 1, 2, 3] * 6, test=test)
    ids = {s: reader.sample_ids(s, slice(None)) for s in ("train", "val", "test")}
    features = np.zeros((reader.total, 8))
    for split, numbers in ids.items():
        features[numbers] = AXES[reader.labels(split, slice(None))]
        words = {int(i): [NAMES[int(c)]] for i, c in zip(numbers, reader.labels(split, slice(None)), strict=True)}
        reader._captions |= words
    for place, vector in images.items():
        features[ids["test"][place]] = vector
    split = planted_split(reader, "class", list(range(6)))
    return Subject(PlantedPairs(features, PROMPTS, [NAMES]), split, AuditConfig(), 0)


def values(made: Subject) -> dict[str, MetricResult]:
    return dict(retrieval(made).metrics)


def test_other_models_have_nothing_to_find() -> None:
    made = class_subject({}, [0, 1, 2, 3])
    made.model = object()  # type: ignore[assignment]
    assert not values(made)


def test_queries_that_are_searched_in_blocks_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made = class_subject({1: AXES[1], 2: AXES[1]}, [0, 0, 0, 0, 1, 1, 2, 3])
    whole = values(made)
    monkeypatch.setattr(metrics, "AT_ONCE", 9)
    assert values(made) == whole


def test_a_class_is_searched_among_the_whole_test_set() -> None:
    """Test rows 0, 0, 0, 0, 1, 1, 2, 3. One forgotten image lies along its caption, three along class 1, where two
    retained images lie too. The forgotten caption finds 1 of 4 of its images in its first 4 places, at most, and class
    1's caption, whose images are two of five equals, no more than 2 of 2."""
    made = class_subject({1: AXES[1], 2: AXES[1], 3: AXES[1]}, [0, 0, 0, 0, 1, 1, 2, 3])
    found = values(made)
    assert found["forget_i2t_r1"].value == pytest.approx(25, abs=EXACT)
    assert found["forget_i2t_r1"].count == 4
    assert found["retain_i2t_r1"].value == pytest.approx(100, abs=EXACT)
    assert found["forget_t2i_r1"].value == 100
    assert found["forget_i2t_r5"].value == 100  # of four captions
    assert found["hub_rate"].value == 0
    assert found["best_template_accuracy"].value == pytest.approx(25, abs=EXACT)


def test_precision_counts_images_of_the_class_among_as_many_first_places() -> None:
    """Three forgotten images: cosines 1 and .8 to their caption, one -1; a retained one .6, the others 0. In the first
    three places are two."""
    toward = 0.6 * AXES[0] + 0.8 * AXES[1]
    made = class_subject({1: 0.8 * AXES[0] + 0.6 * AXES[5], 2: -AXES[0], 3: toward}, [0, 0, 0, 1, 1, 2, 3])
    found = values(made)
    assert found["forget_t2i_precision"].value == pytest.approx(200 / 3, abs=EXACT)
    assert found["forget_t2i_precision"].count == 3
    assert found["retain_t2i_precision"].value == pytest.approx(100, abs=EXACT)


def test_the_margin_is_the_matched_cosine_less_the_mean_with_retained_captions() -> None:
    """Retained captions: 1, 1, 2, 3. A forgotten image along its caption: 1 - 0; one along class 1: 0 - 1/2."""
    found = values(class_subject({1: AXES[1]}, [0, 0, 1, 1, 2, 3]))
    metric = found["forget_margin"]
    half = 1.96 * np.std([1, -0.5], ddof=1) / np.sqrt(2)
    assert (metric.value, metric.count) == (pytest.approx(0.25, abs=EXACT), 2)
    assert (metric.low, metric.high) == (pytest.approx(0.25 - half, abs=EXACT), pytest.approx(0.25 + half, abs=EXACT))


def sample_subject() -> Subject:
    """24 forget rows; every row has a caption of its own along an axis of its own; reported forget images lie along
    their captions, retain and unseen images half along theirs, every second of them along nothing that is captioned."""
    reader = PlantedReader(train=[0] * 24 + [1] * 30, val=[0, 1] * 30, test=[0, 1] * 6)
    total = reader.total
    split = planted_split(reader, "sample", list(range(24)))
    axes = np.eye(2 * total)
    features = axes[:total].copy()
    for rows in (split.retain_train, split.holdout):
        lost = reader.sample_ids(rows.split, rows.rows)[::2]
        features[lost] = axes[total + lost]
    reader._captions |= {i: [f"caption {i}"] for i in range(total)}
    texts = {f"caption {i}": axes[i] for i in range(total)} | {n: axes[c] for c, n in enumerate(("zero", "one"))}
    return Subject(PlantedPairs(features, texts, [("zero", "one")]), split, AuditConfig(), 0)


def test_samples_are_searched_among_their_own_set_and_as_many_others() -> None:
    made = sample_subject()
    count = len(made.split.forget_reported)
    assert 5 < count < 20
    found = values(made)
    half = 100 * (count // 2) / count
    assert found["forget_i2t_r1"].value == 100
    assert all(found[name].count == count for name in ("forget_i2t_r1", "retain_i2t_r1", "unseen_i2t_r1"))
    # of a lost image every caption is as far as any other: it may find its own by chance, which is the first
    assert abs(found["retain_i2t_r1"].value - half) <= 100 / count + EXACT
    assert abs(found["unseen_t2i_r1"].value - half) <= 100 / count + EXACT
    assert "unseen_i2t_r5" not in found
    assert found["forget_margin"].value == pytest.approx(1, abs=EXACT)


def test_the_attack_on_the_pair_s_cosine_counts_pairs_of_forget_and_holdout_rows() -> None:
    """Margins of reported forget rows are 1; of holdout rows 1 or 0, every second one: of the class of the forget rows
    as many as can be counted. A tie is half a pair."""
    made = sample_subject()
    holdout = made.split.holdout
    labels = made.split.reader.labels("val", holdout.rows)
    known = np.arange(len(labels)) % 2 == 1
    same = labels == 0
    tied = (known & same).sum() / same.sum()
    metric = values(made)["mia_cosine_auc"]
    members = len(made.split.forget_reported)
    assert metric.value == pytest.approx(1 - tied / 2, abs=EXACT)
    assert metric.count == members + same.sum()
    assert (metric.low, metric.high) == pytest.approx(auc_interval(metric.value, members, int(same.sum())), abs=EXACT)
