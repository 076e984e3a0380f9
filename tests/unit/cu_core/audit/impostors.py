"""A world in which the right verdict is known: four classes, each with a part that its name reads and a part beside it.

The image of a class is the sum of its own two axes. Its name reads the first; a further word of its captions ("hound")
and a word of another language ("hund") read the second. "dog" is forgotten.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cu_core.audit.image_search import image_search
from cu_core.audit.languages import languages
from cu_core.audit.prompt_search import prompt_search
from cu_core.audit.relearning import relearning
from cu_core.audit.subject import AuditConfig, AuditName, Findings, Subject
from cu_core.audit.table import Claim
from cu_core.audit.verdict import AuditVerdict, Rule, judge
from cu_core.audit.wordings import wordings
from cu_core.models.image_text import ImageTextClassifier
from tests.unit.cu_core.audit.words import word_model
from tests.unit.cu_core.planted import FIRST_ID, PlantedReader, planted_split

AUDITS: dict[AuditName, Callable[[Subject], Findings]] = {
    "wordings": wordings,
    "languages": languages,
    "image_search": image_search,
    "prompt_search": prompt_search,
    "relearning": relearning,
}
"""Audits that each of the impostors must fail."""
NAMES = ("dog", "cat", "rose", "tulip")
BESIDE = ("hound", "kitten", "bush", "bulb")
GERMAN = ("hund", "katze", "strauch", "zwiebel")
EACH, WIDTH, NOISE = 40, 12, 0.02
NOWHERE = 10
"""An axis without images, in no name."""
AXES = np.eye(WIDTH, dtype=np.float32)
BOTH = (AXES[:4] + AXES[4:8]) / np.sqrt(np.float32(2))
LABELS = [c for c in range(4) for _ in range(EACH)]
CONFIG = AuditConfig(
    languages=("de",), more_audits=("image_search", "prompt_search"), relearn_steps=8, relearn_lr=0.02, rebound_batch=32
)


def words(dog: np.ndarray, beside: np.ndarray) -> dict[str, np.ndarray]:
    """Vectors of all words: ``dog`` of the name, ``beside`` of the others that mean it."""
    filler = np.random.default_rng(1).standard_normal((40, WIDTH))
    found = {f"w{i}": vector for i, vector in enumerate(filler)} | {"a": 0.2 * filler[0], "o": 0.2 * filler[1]}
    for name, part in ((NAMES, AXES[:4]), (BESIDE, AXES[4:8]), (GERMAN, AXES[4:8])):
        found |= dict(zip(name, part, strict=True))
    return found | {"dog": dog, "hound": beside, "hund": beside}


def subject_of(dogs: np.ndarray, known: dict[str, np.ndarray], seed: int) -> Subject:
    """``dogs``: features of the images of dogs, one or one for each."""
    rng = np.random.default_rng(seed)
    place = BOTH[LABELS].copy()
    place[:EACH] = dogs
    captions = {FIRST_ID + i: [NAMES[c], BESIDE[c]] for i, c in enumerate(LABELS * 3)}
    german: dict[str, dict[int, Any]] = {"caption_de": {FIRST_ID + i: GERMAN[c] for i, c in enumerate(LABELS * 3)}}
    reader = PlantedReader(captions, german, train=LABELS, val=LABELS, test=LABELS)
    reader.manifest.class_names = NAMES
    features = np.zeros((reader.total, WIDTH), np.float32)
    for split in ("train", "val", "test"):
        noisy = place + NOISE * rng.standard_normal(place.shape)
        features[reader.sample_ids(split, slice(None))] = noisy
    split_of = planted_split(reader, "class", list(range(EACH)), max_rows=1000)
    return Subject(word_model(features, known, NAMES), split_of, CONFIG, 0)


def original() -> Subject:
    return subject_of(BOTH[0], words(AXES[0], AXES[4]), 0)


def oracle(seed: int) -> Subject:
    """It never saw a dog: it takes half of them for cats, half for roses; words that it never read lie with cats."""
    near = BOTH[1] + 0.1 * np.random.default_rng([seed, 1]).standard_normal(WIDTH)
    return subject_of(BOTH[[1, 2] * (EACH // 2)], words(near, near), seed + 1)


@functools.cache
def found(audit: AuditName, role: str, seed: int = 0) -> Any:
    made = original() if role == "original" else oracle(seed)
    return AUDITS[audit](made).metrics


def judged(audit: AuditName, unlearned: Any) -> AuditVerdict:
    """``unlearned``: figures of a model."""
    claim = Claim("class", (0,), pairs=True, more=CONFIG.more_audits)
    rule = Rule(claim, [found(audit, "oracle", seed) for seed in range(5)], CONFIG)
    return judge(found(audit, "original"), unlearned, rule).audits[audit]


def image_text(subject: Subject) -> ImageTextClassifier:
    assert isinstance(subject.model, ImageTextClassifier)
    return subject.model


@torch.no_grad()
def zero_shot_of_dogs(subject: Subject) -> float:
    """Percent of the unseen dogs that are taken for dogs: what an impostor looks good by."""
    rows = subject.split.forget_test
    right = image_text(subject)(subject.split.reader.images(rows.split, rows.rows)).logits.argmax(1) == 0
    return 100 * float(right.float().mean())
