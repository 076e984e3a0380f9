"""Four classes of five test images, each class with a caption along its axis; class 0 is forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from cu_core.audit import hubness as module
from cu_core.audit.hubness import hubness
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.table import Claim
from cu_core.audit.verdict import Rule, Verdict, judge
from tests.unit.cu_core.audit.pairs import PlantedPairs
from tests.unit.cu_core.planted import FIRST_ID, PlantedReader, planted_split

AXES = np.eye(6, dtype=np.float32)
NAMES = ("dog", "cat", "rose", "tulip")
LABELS = [c for c in range(4) for _ in range(5)]
HUB = (AXES[1] + AXES[2] + AXES[3]) / np.sqrt(np.float32(3))
"""It lies nearer to images that are not quite on their axis than their own captions do."""


def planted(
    images: np.ndarray | None = None, dog: np.ndarray = AXES[0], kind: str = "class", shared: int | None = None
) -> Subject:
    """``images``: of the rows of each split; ``shared``: test row of a retained class that has the caption "dog"."""
    captions = {FIRST_ID + i: [NAMES[c]] for i, c in enumerate(LABELS * 3)}
    if shared is not None:
        captions[FIRST_ID + 2 * len(LABELS) + shared] = ["dog"]
    reader = PlantedReader(captions=captions, train=LABELS, val=LABELS, test=LABELS)
    features = np.zeros((reader.total, 6), np.float32)
    for split in ("train", "val", "test"):
        features[reader.sample_ids(split, slice(None))] = AXES[LABELS] if images is None else images
    texts = {name: AXES[c] if c else dog for c, name in enumerate(NAMES)}
    model = PlantedPairs(features, texts, [list(NAMES)])
    return Subject(model, planted_split(reader, kind, list(range(5))), AuditConfig(), 0)  # type: ignore[arg-type]


def figures(subject: Subject) -> dict[str, tuple[float, int]]:
    return {name: (result.value, result.count) for name, result in hubness(subject).metrics.items()}


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_what_lies_apart_is_near_nothing(kind: str) -> None:
    retained, captions = (15, 3) if kind == "class" else (20, 4)
    found = figures(planted(kind=kind)) if kind == "class" else figures(planted(kind=kind, dog=AXES[5]))
    if kind == "sample":  # retained test images of class 0 have the caption: it is not that of the forget rows alone
        assert set(found) == {"image_occurrence", "image_occurrence_max"}
        assert found["image_occurrence_max"][1] == captions
        return
    assert found == {
        "caption_occurrence": (0, retained), "caption_occurrence_max": (0, retained),
        "image_occurrence": (0, captions), "image_occurrence_max": (0, captions),
    }  # fmt: skip


def test_a_caption_that_is_nearest_to_two_thirds_of_the_images() -> None:
    """Images of two retained classes lie at the hub; those of the third on their axis. One caption is the nearest."""
    images = AXES[LABELS].copy()
    images[5:15] = HUB
    found = figures(planted(images, dog=HUB))
    assert found["caption_occurrence"][0] == found["caption_occurrence_max"][0] == pytest.approx(100 * 10 / 15)


def test_a_forgotten_image_that_two_of_three_captions_find_first() -> None:
    """Of twenty images the two nearest count. Image 0 is between the captions of classes 1 and 2."""
    images = AXES[LABELS].copy() * np.float32(0.6) + AXES[5] * np.float32(0.8)
    images[0] = (AXES[1] + AXES[2]) / np.sqrt(np.float32(2))
    found = figures(planted(images))
    assert found["image_occurrence_max"][0] == pytest.approx(100 * 2 / 3)
    assert found["image_occurrence"][0] == pytest.approx(100 * 2 / (2 * 3))


def test_at_most_a_tenth_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 images two are near; with NEAREST 1, one is."""
    images = AXES[LABELS].copy()
    images[0], images[5:10] = AXES[1] * 0.9, AXES[1]  # the sixth nearest to "cat"
    images[6:10] = AXES[5]  # now the second nearest
    assert figures(planted(images))["image_occurrence_max"][0] == pytest.approx(100 / 3)
    monkeypatch.setattr(module, "NEAREST", 1)
    assert figures(planted(images))["image_occurrence_max"][0] == 0


def test_a_caption_of_retained_images_too_is_not_forgotten() -> None:
    assert set(figures(planted(shared=7))) == {"image_occurrence", "image_occurrence_max"}


def noisy(seed: int) -> Subject:
    """An oracle: the forgotten caption lies somewhere off, images of the class with another class each."""
    rng = np.random.default_rng(seed)
    images = AXES[LABELS] + 0.1 * rng.standard_normal((20, 6)).astype(np.float32)
    images[:5] = AXES[5]
    dog = AXES[5] + 0.3 * rng.standard_normal(6).astype(np.float32)
    return planted(images / np.linalg.norm(images, axis=1, keepdims=True), dog / np.linalg.norm(dog))


def judged(unlearned: Subject) -> Verdict:
    claim = Claim("class", (0,), pairs=True, more=("hubness",))
    rule = Rule(claim, [hubness(noisy(seed)).metrics for seed in range(5)], AuditConfig())
    return judge(hubness(planted()).metrics, hubness(unlearned).metrics, rule)


def test_a_hub_is_caught_and_a_held_out_oracle_is_not() -> None:
    images = AXES[LABELS].copy()
    images[5:] = (images[5:] + HUB) / np.linalg.norm(images[5:] + HUB, axis=1, keepdims=True)
    assert judged(planted(images, dog=HUB)).audits["hubness"].word == "over-forgotten"
    assert judged(noisy(9)).audits["hubness"].word == "indistinguishable"


def test_a_classifier_has_no_figures() -> None:
    subject = planted()
    subject.model = object()  # type: ignore[assignment]
    assert hubness(subject).metrics == {}
