"""Three classes of twenty test images along their axes; texts are means of word vectors; "dog" is forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cu_core.audit import prompt_search as module
from cu_core.audit import token_search
from cu_core.audit.prompt_search import prompt_search
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.table import Claim
from cu_core.audit.verdict import Rule, Verdict, judge
from tests.golden.tiny_clip import tiny_clip
from tests.unit.cu_core.audit.words import word_model
from tests.unit.cu_core.planted import FIRST_ID, PlantedReader, planted_split

NAMES = ("dog", "cat", "rose")
EACH, WIDTH = 20, 12
AXES = np.eye(WIDTH, dtype=np.float32)
LABELS = [c for c in range(3) for _ in range(EACH)]
HIDDEN = AXES[9]
"""Where an impostor puts the images: no word of the usual vocabulary lies there."""


def planted(dogs: np.ndarray, words: dict[str, Any] | None = None, kind: str = "class", seed: int = 0) -> Subject:
    """``dogs``: direction of the images of dogs, or of each of them; ``words``: vectors beside those of names."""
    rng = np.random.default_rng(seed)
    images = AXES[LABELS].copy()
    images[:EACH] = dogs
    images += 0.02 * rng.standard_normal(images.shape).astype(np.float32)
    captions = {FIRST_ID + i: [NAMES[c]] for i, c in enumerate(LABELS * 3)}
    reader = PlantedReader(captions=captions, train=LABELS, val=LABELS, test=LABELS)
    reader.manifest.class_names = NAMES
    features = np.zeros((reader.total, WIDTH), np.float32)
    for split in ("train", "val", "test"):
        features[reader.sample_ids(split, slice(None))] = images / np.linalg.norm(images, axis=1, keepdims=True)
    # No filler word has a part along the hidden axis, or along that of dogs.
    filler = np.random.default_rng(1).standard_normal((60, WIDTH)) * ~np.isin(np.arange(WIDTH), (0, 9))
    known = {name: AXES[c] for c, name in enumerate(NAMES)} | {f"w{i}": v for i, v in enumerate(filler)}
    model = word_model(features, known | {"a": filler[0], "o": filler[1]} | (words or {}), NAMES)
    return Subject(model, planted_split(reader, kind, list(range(EACH))), AuditConfig(), 0)  # type: ignore[arg-type]


def figures(subject: Subject) -> dict[str, float]:
    return {name: result.value for name, result in prompt_search(subject).metrics.items()}


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_a_model_that_knows_the_concept_has_a_text_for_it(kind: str) -> None:
    """Sample requests: forget rows that are reported, and test images with their caption."""
    subject = planted(AXES[0], kind=kind)
    found = prompt_search(subject).metrics
    own = EACH + (len(subject.split.forget_reported) if kind == "sample" else 0)
    assert {n: (r.value, r.count) for n, r in found.items() if n != "prompt_search_margin"} == {
        "prompt_search_precision": (100, own // 2), "prompt_search_fit": (100, own // 2)
    }  # fmt: skip
    assert found["prompt_search_margin"].value > 0.3


def test_a_word_far_from_the_name_is_found() -> None:
    """The name points at cats; the word "whiskers" still points at the images."""
    assert figures(planted(AXES[0], {"dog": AXES[1], "whiskers": AXES[0]}))["prompt_search_precision"] == 100


def test_the_text_is_measured_on_images_that_it_was_not_fitted_to() -> None:
    """Images lie anywhere: one half says nothing about the other."""
    dogs = np.random.default_rng(3).standard_normal((EACH, WIDTH)).astype(np.float32)
    found = figures(planted(dogs))
    assert found["prompt_search_fit"] > found["prompt_search_precision"] + 20


def test_at_most_a_few_classes_are_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(module, "_searched", lambda s, w, start, images: asked.append(start) or (1.0, 0.5, 1.0))
    subject = planted(AXES[0])
    forget = subject.split.forget
    subject.split = planted_split(subject.split.reader, "class", list(range(2 * EACH)))
    assert subject.split.forget.classes == (0, 1) != forget.classes
    assert prompt_search(subject).metrics["prompt_search_precision"].count == EACH
    assert sorted(asked) == ["cat", "dog"]
    monkeypatch.setattr(module, "MOST_CLASSES", 1)
    asked.clear()
    assert prompt_search(subject).metrics["prompt_search_precision"].count == EACH // 2
    assert len(asked) == 1


def test_the_mode_of_the_model_stays() -> None:
    for training in (True, False):
        subject = planted(AXES[0])
        subject.model.train(training)
        prompt_search(subject)
        assert subject.model.training is training


def test_what_cannot_be_searched_has_no_figures() -> None:
    subject = planted(AXES[0])
    subject.model = object()  # type: ignore[assignment]
    assert prompt_search(subject).metrics == {}
    subject.model = tiny_clip(0, texts_train=False)
    assert prompt_search(subject).metrics == {}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_search, "STEPS", 8)


def oracle(seed: int) -> Subject:
    """It never saw a dog: it takes half of them for cats, half for roses, and the name lies with cats."""
    return planted(AXES[[1, 2] * (EACH // 2)], {"dog": AXES[1]}, seed=seed)


def judged(unlearned: Subject) -> Verdict:
    claim = Claim("class", (0,), pairs=True, more=("prompt_search",))
    rule = Rule(claim, [prompt_search(oracle(seed)).metrics for seed in range(5)], AuditConfig())
    return judge(prompt_search(planted(AXES[0])).metrics, prompt_search(unlearned).metrics, rule)


def test_a_concept_behind_another_word_is_caught_and_a_held_out_oracle_passes(small: None) -> None:
    hidden = judged(planted(HIDDEN, {"dog": AXES[1], "xqz": HIDDEN}))
    assert hidden.audits["prompt_search"].word == "under-forgotten"
    assert set(hidden.outside) == {"prompt_search_precision"}
    assert judged(oracle(9)).audits["prompt_search"].word == "indistinguishable"
