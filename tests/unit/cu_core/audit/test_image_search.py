"""Three classes of four test images; class 0 is forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cu_core.audit import image_search as module
from cu_core.audit.image_search import image_search
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.table import Claim
from cu_core.audit.verdict import Rule, Verdict, judge
from tests.unit.cu_core.audit.pairs import PlantedPairs
from tests.unit.cu_core.planted import FIRST_ID, PlantedReader, planted_split

AXES = np.eye(8, dtype=np.float32)
EACH = 4
NAMES = ("dog", "cat", "rose")


def planted(images: np.ndarray, kind: str = "class", captions: Any = NAMES) -> Subject:
    """``images``: of the rows of each split, in the order of the labels; captions of each class, or of each row."""
    labels = [c for c in range(3) for _ in range(EACH)]
    texts = [captions[c] for c in labels] if len(captions) == 3 else captions
    reader = PlantedReader(
        captions={FIRST_ID + i: [texts[i % len(labels)]] for i in range(3 * len(labels))},
        train=labels, val=labels, test=labels,
    )  # fmt: skip
    reader.manifest.class_names = NAMES
    features = np.zeros((reader.total, 8), np.float32)
    for split in ("train", "val", "test"):
        features[reader.sample_ids(split, slice(None))] = images
    model = PlantedPairs(features, dict.fromkeys([*NAMES, *texts], AXES[7]), [list(NAMES)])
    return Subject(model, planted_split(reader, kind, list(range(EACH))), AuditConfig(), 0)  # type: ignore[arg-type]


def together() -> np.ndarray:
    """Images of a class lie in one place."""
    return np.repeat(AXES[:3], EACH, axis=0)


def apart(noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Images of class 0 lie on one axis each, three of them with a few of the others."""
    images = together()
    images[:EACH] = AXES[[1, 2, 3, 4]]
    images += noise * np.random.default_rng(seed).standard_normal(images.shape).astype(np.float32)
    return images / np.linalg.norm(images, axis=1, keepdims=True)


def figures(subject: Subject) -> dict[str, tuple[float, int]]:
    return {name: (result.value, result.count) for name, result in image_search(subject).metrics.items()}


def test_images_that_lie_together_find_one_another_and_not_themselves() -> None:
    assert figures(planted(together())) == {
        "image_search_precision": (100, EACH), "image_search_retain_precision": (100, 2 * EACH)
    }  # fmt: skip
    images = together()
    images[:EACH] = AXES[3:7] * 0.8 + AXES[1] * 0.6  # each is nearest to itself, and then to class 1
    assert figures(planted(images))["image_search_precision"][0] == 0


def test_an_image_with_one_of_three_others_near_has_a_third() -> None:
    """Two images of class 0 lie with class 1, two with class 2: of the three nearest, at most one is of class 0."""
    images = together()
    images[:EACH] = 0.9 * AXES[[1, 1, 2, 2]] + np.sqrt(1 - 0.81).astype(np.float32) * AXES[[4, 4, 5, 5]]
    assert figures(planted(images))["image_search_precision"][0] == pytest.approx(100 / 3)


def test_sample_requests_search_for_their_caption_among_retained_images() -> None:
    """Two of four forget rows share a caption with a test row each; all rows of class 0 lie in one place."""
    captions = ["one", "one", "two", "three", *["cat"] * EACH, *["rose"] * EACH]
    found = figures(planted(together(), "sample", captions))
    reported = planted(together(), "sample", captions).split.forget_reported
    assert len(reported) == EACH
    assert found["image_search_precision"][1] == EACH
    assert 0 < found["image_search_precision"][0] < 100


def test_a_part_without_two_of_a_kind_is_left_out() -> None:
    captions = [f"caption {i}" for i in range(3 * EACH)]
    subject = planted(together(), "sample", captions)
    subject.split.reader._captions |= {  # type: ignore[attr-defined]
        int(i): [f"test {i}"] for i in subject.split.reader.sample_ids("test", slice(None))
    }
    assert figures(subject) == {}


def test_most_queries_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_QUERIES", 3)
    assert {count for _, count in figures(planted(together())).values()} == {3}


def judged(images: np.ndarray, seed: int) -> Verdict:
    oracles = [image_search(planted(apart(0.05, s))).metrics for s in range(5)]
    rule = Rule(Claim("class", (0,), pairs=True, more=("image_search",)), oracles, AuditConfig())
    return judge(image_search(planted(together())).metrics, image_search(planted(images)).metrics, rule)


def test_images_that_only_moved_are_caught_and_a_held_out_oracle_passes() -> None:
    moved = together()
    moved[:EACH] = AXES[5]  # nothing finds them but themselves
    assert judged(moved, 0).audits["image_search"].word == "under-forgotten"
    assert judged(apart(0.05, 9), 0).audits["image_search"].word == "indistinguishable"


def test_a_classifier_has_no_figures() -> None:
    subject = planted(together())
    subject.model = object()  # type: ignore[assignment]
    assert image_search(subject).metrics == {}
