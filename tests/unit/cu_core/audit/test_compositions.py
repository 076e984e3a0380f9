"""Test images with one concept or two; "dog" is forgotten."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cu_core.audit.compositions import compositions, named
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.table import Claim
from cu_core.audit.verdict import Rule, Verdict, judge
from cu_core.types import MetricResult
from tests.unit.cu_core.audit.pairs import PlantedPairs
from tests.unit.cu_core.planted import FIRST_ID, PlantedReader, planted_split

AXES = np.eye(4, dtype=np.float32)
NAMES = ("dog", "cat", "guide_dog")
TEST = ["a dog", "dog and cat", "a cat", "a cat", "a guide dog", "cat, guide dog"]
LABELS = [0, 0, 1, 1, 2, 1]
BOTH = (AXES[0] + AXES[1]) / np.sqrt(np.float32(2))
IMAGES = np.stack([AXES[0], BOTH, AXES[1], AXES[1], AXES[2], (AXES[1] + AXES[2]) / np.sqrt(np.float32(2))])


def planted(images: np.ndarray = IMAGES, captions: Sequence[str] = TEST, labels: Sequence[int] = LABELS) -> Subject:
    reader = PlantedReader(train=LABELS, val=LABELS, test=[*labels])
    reader.manifest.class_names = NAMES
    ids = reader.sample_ids("test", slice(None)).tolist()
    reader._captions = dict.fromkeys(range(FIRST_ID, reader.total), ["x"]) | {
        i: ["a photo", text] for i, text in zip(ids, captions, strict=True)
    }
    features = np.zeros((reader.total, 4), np.float32)
    features[ids] = images
    model = PlantedPairs(features, {name: AXES[c] for c, name in enumerate(NAMES)}, [list(NAMES)])
    return Subject(model, planted_split(reader, "class", [0, 1]), AuditConfig(), 0)  # type: ignore[arg-type]


def figures(subject: Subject) -> dict[str, tuple[float, int]]:
    return {name: (result.value, result.count) for name, result in compositions(subject).metrics.items()}


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("a guide dog", {2}),
        ("A Dog, a CAT", {0, 1}),
        ("guide dog and dog", {0, 2}),
        ("dogs", set()),
        ("guide", set()),
        ("", set()),
    ],
)
def test_the_longest_name_counts(text: str, classes: set[int]) -> None:
    assert named(text, {("dog",): 0, ("cat",): 1, ("guide", "dog"): 2}) == classes


def test_one_image_has_both_concepts_and_each_finds_it() -> None:
    """Captions of four images name "cat": the image is among its four nearest, and among the two nearest of "dog"."""
    assert figures(planted()) == {"composition_found": (100, 1), "composition_forgotten_found": (100, 1)}


def test_an_image_that_lost_the_other_concept_too_is_not_found_by_it() -> None:
    """It is the last of all for both prompts."""
    images = IMAGES.copy()
    images[1] = -BOTH
    assert figures(planted(images)) == {"composition_found": (0, 1), "composition_forgotten_found": (0, 1)}


def test_two_captions_of_one_concept_each_are_no_composition() -> None:
    subject = planted()
    ids = subject.split.reader.sample_ids("test", slice(None))
    subject.split.reader._captions |= {int(ids[1]): ["dog", "cat"]}  # type: ignore[attr-defined]
    assert figures(subject) == {}


def judged(images: np.ndarray) -> Verdict:
    """``images``: of twenty dogs with cats, in a test set of as many guide dogs."""
    captions, labels = [*["dog and cat"] * 20, *["a guide dog"] * 20], [*[0] * 20, *[2] * 20]

    def metrics(part: np.ndarray) -> dict[str, MetricResult]:
        return {**compositions(planted(np.concatenate([part, np.tile(AXES[2], (20, 1))]), captions, labels)).metrics}

    def oracle(lost: int) -> dict[str, MetricResult]:
        return metrics(np.where((np.arange(20) < lost)[:, None], -AXES[1], AXES[1]))

    claim = Claim("class", (0,), pairs=True, more=("compositions",))
    rule = Rule(claim, [oracle(lost) for lost in (0, 1, 2, 1, 0)], AuditConfig())
    return judge(metrics(np.tile(BOTH, (20, 1))), metrics(images), rule)


def test_a_model_that_lost_both_concepts_is_caught_and_a_held_out_oracle_is_not() -> None:
    found = judged(np.tile(-AXES[1], (20, 1))).audits["compositions"]
    assert (found.word, set(found.outside)) == ("over-forgotten", {"composition_found"})
    assert judged(np.tile(AXES[1], (20, 1))).audits["compositions"].word == "indistinguishable"


def test_a_classifier_has_no_figures() -> None:
    subject = planted()
    subject.model = object()  # type: ignore[assignment]
    assert compositions(subject).metrics == {}
