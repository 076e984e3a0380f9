"""Four classes of three test images each, along the axes of their names; class 0, "puppy", is forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.table import Claim
from cu_core.audit.verdict import Rule, judge
from cu_core.audit.wordings import TEMPLATES, misspelled, pluralised, rewritten, wordings
from cu_core.types import MetricResult
from tests.unit.cu_core.audit.pairs import PlantedPairs
from tests.unit.cu_core.planted import FIRST_ID, PlantedReader, planted_split

NAMES = ("puppy", "kitten", "rose", "tulip")
CAPTIONS = (["puppy", "young dog", "pet"], ["kitten", "pet"], ["rose"], ["tulip"])
AXES = np.eye(6, dtype=np.float32)
NOWHERE = AXES[5]


def said(name: str) -> list[str]:
    return [name, *(text for _, text in rewritten(name, plural=True))]


def planted(images: Any, texts: dict[str, np.ndarray], kind: str = "class", **config: Any) -> Subject:
    """``images``: axis of the test images of each class; ``texts``: features of texts, else along their name's axis."""
    labels = [c for c in range(4) for _ in range(3)]
    captions = {FIRST_ID + i: CAPTIONS[c] for i, c in enumerate(labels * 3)}
    reader = PlantedReader(captions=captions, train=labels, val=labels, test=labels)
    reader.manifest.class_names = NAMES
    known = {text: AXES[c] for c, name in enumerate(NAMES) for text in [*said(name), *CAPTIONS[c]]}
    known |= dict.fromkeys(config.get("paraphrases", ()), NOWHERE) | texts
    features = np.zeros((reader.total, 6), np.float32)
    for split in ("train", "val", "test"):
        features[reader.sample_ids(split, slice(None))] = images[labels]
    model = PlantedPairs(features, known, [list(NAMES)])
    return Subject(model, planted_split(reader, kind, [0, 1, 2]), AuditConfig(**config), 0)  # type: ignore[arg-type]


def unlearned_images() -> np.ndarray:
    """Images of class 0 lie where no text is; those of the others along their names."""
    return np.stack([NOWHERE, *AXES[1:4]])


def figures(subject: Subject) -> dict[str, float]:
    return {name: result.value for name, result in wordings(subject).metrics.items()}


def test_a_model_that_knows_the_concept_finds_it_in_all_words() -> None:
    found = figures(planted(AXES[:4], {}))
    assert set(found) == {f"wording_{kind}" for kind in
                          ("best", "precision", "template", "plural", "misspelling", "synonym")}  # fmt: skip
    assert set(found.values()) == {100}


def test_a_caption_of_forget_rows_is_a_synonym_unless_it_has_the_name_or_retained_rows_have_it() -> None:
    """ "young dog" is one; "pet" is shared with kittens, and "puppy" is the name."""
    found = figures(planted(AXES[:4], {"young dog": AXES[1], "pet": AXES[1]}))
    assert (found["wording_synonym"], found["wording_best"]) == (0, 100)
    assert figures(planted(AXES[:4], {"pet": AXES[1]}))["wording_synonym"] == 100


def test_paraphrases_are_synonyms_too() -> None:
    """ "hound" lies along the kittens' axis, "young dog" along the puppies'."""
    assert figures(planted(AXES[:4], {"hound": AXES[1]}, paraphrases=("hound",)))["wording_synonym"] == 50


def judged(found: Subject, oracles: list[Subject]) -> Any:
    rule = Rule(Claim("class", (0,), pairs=True), [wordings(o).metrics for o in oracles], AuditConfig())
    return judge(wordings(planted(AXES[:4], {})).metrics, wordings(found).metrics, rule)


def oracle(seed: int) -> Subject:
    """It never saw a puppy: its texts lie near the kitten's, its images near nothing, with noise."""
    rng = np.random.default_rng(seed)
    return planted(unlearned_images() + 0.01 * rng.standard_normal((4, 6)).astype(np.float32),
                   dict.fromkeys((*said("puppy"), "young dog"), AXES[1]))  # fmt: skip


def test_an_impostor_whose_own_word_is_remapped_is_caught_and_a_held_out_oracle_passes() -> None:
    """Images stay as they were, and each text that holds the word "puppy" points at kittens."""
    oracles = [oracle(seed) for seed in range(5)]
    own = {text: AXES[1] for text in said("puppy") if "puppy" in text}
    verdict = judged(planted(AXES[:4], own), oracles)
    assert verdict.audits["wordings"].word == "under-forgotten"
    assert set(verdict.outside) == {"wording_best"}
    held_out = judged(oracle(9), oracles)
    assert held_out.audits["wordings"].word == "indistinguishable"


def test_captions_of_sample_requests_are_reworded_and_have_no_plural() -> None:
    subject = planted(AXES[:4], {"young dog": NOWHERE, "pet": NOWHERE}, kind="sample")
    found = figures(subject)
    assert "wording_plural" not in found
    assert found["wording_best"] == 100  # all three rows have one caption, so every text finds them
    assert wordings(subject).metrics["wording_best"].count == 3


def test_no_images_of_the_class_and_no_image_text_model_have_no_figures() -> None:
    subject = planted(AXES[:4], {})
    subject.split.forget = replace(subject.split.forget, classes=())
    vars(subject.split).pop("forget_test", None)
    assert wordings(subject).metrics == {}
    subject.model = object()  # type: ignore[assignment]
    assert wordings(subject).metrics == {}


@pytest.mark.parametrize(
    ("name", "plural"),
    [("dog", "dogs"), ("fox", "foxes"), ("puppy", "puppies"), ("toy", "toys"), ("y", "ys"), ("church", "churches")],
)
def test_regular_plurals(name: str, plural: str) -> None:
    assert pluralised(name) == plural


def test_misspellings_change_the_middle_of_the_longest_word() -> None:
    assert misspelled("a kitten") == ["a kiten", "a kittten"]  # two equal letters are not swapped
    assert misspelled("my shark") == ["my sahrk", "my shrk", "my shhark"]
    assert misspelled("a cat") == []
    assert all(text != "kitten" for text in misspelled("kitten"))


def test_every_template_holds_the_name_once() -> None:
    assert all(template.count("{}") == 1 for template in TEMPLATES)


def test_the_mean_counts_each_text_once() -> None:
    subject = planted(AXES[:4], {pluralised("puppy"): AXES[1]})
    texts = len({text for _, text in rewritten("puppy", plural=True)}) + 1  # and "young dog"
    result: MetricResult = wordings(subject).metrics["wording_precision"]
    assert result.value == pytest.approx(100 * (texts - 1) / texts)
