from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cu_core.audit import zero_shot as module
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.zero_shot import zero_shot
from tests.unit.cu_core.audit.pairs import PlantedPairs
from tests.unit.cu_core.planted import PlantedReader, planted_split

EXACT = 1e-6
AXES = np.eye(6)
TILTED = 0.6 * AXES[0] + 0.8 * AXES[1]
TEXTS = {
    "a0": AXES[0],
    "a1": AXES[1],
    "a2": AXES[2],
    "b0": AXES[3],
    "b1": AXES[1],
    "b2": TILTED,
    "like zero": AXES[4],
    "nothing": AXES[5],
}
PROMPTS = [["a0", "a1", "a2"], ["b0", "b1", "b2"]]


def planted(kind: str, forget_test: list[int], retain_test: list[int], **config: Any) -> Subject:
    """Test images of classes 0 and 1 along these axes; class 0 is forgotten."""
    labels = [0] * len(forget_test) + [1] * len(retain_test)
    reader = PlantedReader(train=[0] * 6 + [1, 2] * 6, val=[0, 1, 2] * 6, test=labels)
    reader.manifest.num_classes = 3
    features = np.zeros((reader.total, 6))
    features[reader.sample_ids("test", slice(None))] = AXES[forget_test + retain_test]
    split = planted_split(reader, kind, list(range(6)))  # type: ignore[arg-type]
    return Subject(PlantedPairs(features, TEXTS, PROMPTS), split, AuditConfig(**config), 0)


def test_the_wording_in_which_most_is_left() -> None:
    """Four images along a0's axis, one along b0's: 4 of 5 by the first template. (Where all cosines are 0, class 0 is
    the first of equals: by the second template images along a0 lie nearest to b2.)"""
    found = zero_shot(planted("class", [0, 0, 0, 0, 1], [1, 1]))
    assert found["best_template_accuracy"].value == pytest.approx(80, abs=EXACT)
    assert zero_shot(planted("class", [3, 3, 1, 1], [1, 1]))["best_template_accuracy"].value == pytest.approx(50)


def test_the_share_of_retained_images_that_is_given_to_the_concept() -> None:
    """Along a0 (mean prompt of class 0: a0 + b0, of class 2: a2 + b2) one of four."""
    assert zero_shot(planted("class", [0], [0, 1, 1, 2]))["hub_rate"].value == pytest.approx(25, abs=EXACT)


def test_the_prompt_s_distance_is_to_the_nearest_retained_one_in_each_wording() -> None:
    """First wording: nothing near, 1. Second: b0 to b1 and b2, 1 too; with b0 along a0 it is 1 - .6."""
    made = planted("class", [0], [1])
    assert zero_shot(made)["prompt_distance"].value == pytest.approx(1, abs=EXACT)
    near = PlantedPairs(made.model.images, TEXTS | {"b0": AXES[0]}, PROMPTS)  # type: ignore[attr-defined]
    found = zero_shot(Subject(near, made.split, made.config, 0))["prompt_distance"]
    assert (found.value, found.count) == (pytest.approx((1 + 0.4) / 2, abs=EXACT), 2)
    assert (found.low, found.high) == (pytest.approx(0.4, abs=EXACT), pytest.approx(1, abs=EXACT))


def test_a_paraphrase_stands_in_the_place_of_the_forgotten_class_alone() -> None:
    """Images along axis 4 are found by "like zero" (2 of 3), by "nothing" none but the ties with it."""
    found = zero_shot(planted("class", [4, 4, 1], [1], paraphrases=("nothing", "like zero")))
    assert found["best_paraphrase_accuracy"].value == pytest.approx(200 / 3, abs=EXACT)
    assert "best_paraphrase_accuracy" not in zero_shot(planted("class", [4], [1]))


def test_samples_have_no_concept_to_name() -> None:
    assert zero_shot(planted("sample", [0], [1])) == {}


@pytest.mark.parametrize(("tuning", "percent"), [(False, 75), (True, 50)])
def test_other_data_is_read_from_its_test_split_or_while_tuning_from_val(
    tuning: bool, percent: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test images: 3 of 4 along their class; val images: 1 of 2."""
    other = PlantedReader(train=[0, 1], val=[0, 1], test=[0, 1, 0, 1])
    features = np.zeros((max(other.total, 40), 6))
    features[other.sample_ids("val", slice(None))] = AXES[[0, 0]]
    features[other.sample_ids("test", slice(None))] = AXES[[0, 1, 0, 0]]
    other.manifest.class_names = ("a", "b")
    monkeypatch.setattr(module, "ShardReader", lambda folder, size: other)
    made = planted("sample", [0], [1], other_data=("there",))
    made.split.tuning = tuning
    texts = TEXTS | {"a 0": AXES[0], "b 0": AXES[1], "a 1": AXES[0], "b 1": AXES[1]}
    made.model = PlantedPairs(features, texts, PROMPTS)
    metric = zero_shot(made)["other_data_accuracy"]
    assert (metric.value, metric.count) == (pytest.approx(percent, abs=EXACT), 2 if tuning else 4)
