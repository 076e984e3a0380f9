"""Three classes of two test images each along their axes; class 0 is forgotten. Captions in German and in Greek."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cu_core.audit.languages import languages
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.table import Claim, metrics_of
from cu_core.audit.verdict import Rule, judge
from tests.unit.cu_core.audit.pairs import PlantedPairs
from tests.unit.cu_core.planted import FIRST_ID, PlantedReader, planted_split

AXES = np.eye(5, dtype=np.float32)
ENGLISH, GERMAN, GREEK = ("dog", "cat", "rose"), ("Hund", "Katze", "Rose"), ("skylos", "gata", "triantafyllo")


def planted(image: np.ndarray, texts: dict[str, np.ndarray], kind: str = "class", tags: Any = ("de", "el")) -> Subject:
    """``image``: the direction of images of class 0; ``texts``: features of texts, else along their class."""
    labels = [0, 0, 1, 1, 2, 2]
    ids = {FIRST_ID + i: c for i, c in enumerate(labels * 3)}
    columns = {
        "caption_de": {i: [GERMAN[c], "alt"] for i, c in ids.items()},
        "caption_el": {i: GREEK[c] if c else None for i, c in ids.items()},  # of class 0 none, and no list
    }
    reader = PlantedReader({i: [ENGLISH[c]] for i, c in ids.items()}, columns, train=labels, val=labels, test=labels)
    known = {words[c]: AXES[c] for words in (ENGLISH, GERMAN, GREEK) for c in range(3)} | texts
    features = np.zeros((reader.total, 5), np.float32)
    for number, c in ids.items():
        features[number] = AXES[c] if c else image
    model = PlantedPairs(features, known, [list(ENGLISH)])
    return Subject(model, planted_split(reader, kind, [0, 1]), AuditConfig(languages=tags), 0)  # type: ignore[arg-type]


def figures(subject: Subject) -> dict[str, float]:
    return {name: result.value for name, result in languages(subject).metrics.items()}


def test_each_language_is_measured_by_the_first_caption_of_each_image_where_there_is_one() -> None:
    assert figures(planted(AXES[0], {})) == {
        "language_precision/de": 100,
        "language_precision": 100,
        "language_retain_precision": 100,
    }


def test_a_language_that_the_text_tower_does_not_know_is_seen_in_what_is_retained() -> None:
    found = figures(planted(AXES[0], {"gata": AXES[4], "triantafyllo": AXES[0]}))
    by_chance = 2 / 6  # to "gata" all six images are equally near
    assert found["language_retain_precision"] == pytest.approx(100 * (1 + 1 + by_chance + 0) / 4)


def test_an_impostor_that_forgot_the_english_word_alone_is_caught_and_a_held_out_oracle_passes() -> None:
    def oracle(seed: int) -> Subject:
        noise = 0.01 * np.random.default_rng(seed).standard_normal(5).astype(np.float32)
        return planted(AXES[4] + noise, {"Hund": AXES[1]})

    rule = Rule(Claim("class", (0,), pairs=True), [languages(oracle(s)).metrics for s in range(5)], AuditConfig())
    original = languages(planted(AXES[0], {})).metrics
    impostor = judge(original, languages(planted(AXES[0], {"dog": AXES[1]})).metrics, rule)
    assert impostor.audits["languages"].word == "under-forgotten"
    assert judge(original, languages(oracle(9)).metrics, rule).audits["languages"].word == "indistinguishable"


def test_sample_requests_search_forget_rows_among_themselves() -> None:
    assert figures(planted(AXES[0], {}, kind="sample")) == {"language_precision/de": 100, "language_precision": 100}


def test_without_the_setting_there_are_no_figures_and_each_language_has_a_line_with_its_name() -> None:
    assert languages(planted(AXES[0], {}, tags=())).metrics == {}
    made = metrics_of("class", AuditConfig(languages=("de",)))
    assert made["language_precision/de"].title == "found in other languages (%), de"
    assert made["language_precision/de"].judged == ()
