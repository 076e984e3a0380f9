"""Seven classes: the prompt of class c is at 10 c degrees from that of class 0, which is forgotten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.audit import near_concepts as module
from cu_core.audit.answers import Answers, answers_of
from cu_core.audit.near_concepts import near_concepts
from cu_core.audit.subject import AuditConfig
from cu_core.audit.table import Claim, audit_against
from cu_core.audit.verdict import Rule, judge
from tests.unit.cu_core.audit.pairs import PlantedPairs
from tests.unit.cu_core.planted import predictions, subject

CLASSES = 7
ANGLES = np.radians(10.0 * np.arange(CLASSES))
PROMPTS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1).astype(np.float32)
ROWS = 10
ASKED = AuditConfig(more_audits=("near_concepts",))


def answers(right: dict[int, int], prompts: np.ndarray = PROMPTS, forgotten: tuple[int, ...] = (0,)) -> Answers:
    """Of ten test rows of each retained class, ``right`` are right; the others are given to class 0."""
    labels = np.repeat(np.setdiff1d(np.arange(CLASSES), forgotten), ROWS)
    is_right = np.concatenate([np.arange(ROWS) < right.get(c, ROWS) for c in np.unique(labels)])
    test = np.eye(CLASSES, dtype=np.float32)[np.where(is_right, labels, 0)]
    return Answers(test[:1], np.array(forgotten), test[:0], test, labels, prompts)


def values(model: Answers, original: Answers) -> dict[str, float]:
    found = audit_against("class", ASKED, model, [], original)
    return {name: result.value for name, result in found.items() if name.startswith("near_")}


def test_classes_are_binned_by_their_rank_in_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks 1 to 2 are the classes 1 and 2, ranks 3 to 5 the classes 3 to 5; class 6 is the rest."""
    monkeypatch.setattr(module, "LAST_RANKS", {"5": 2, "20": 5, "100": 6, "rest": None})
    original, model = answers({}), answers({1: 0, 2: 5, 3: 10, 4: 7, 5: 10, 6: 9}, prompts=PROMPTS[::-1])
    found = near_concepts(model, [], original)
    assert {name: result.value for name, result in found.items()} == {
        "near_accuracy_5": 25, "near_accuracy_20": pytest.approx(90), "near_accuracy_100": 90
    }  # fmt: skip
    assert [result.count for result in found.values()] == [2 * ROWS, 3 * ROWS, ROWS]


def test_the_nearest_of_several_forgotten_classes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 0 and 6, the classes 1 and 5 are the nearest."""
    monkeypatch.setattr(module, "LAST_RANKS", {"5": 2, "rest": None})
    model = answers({1: 0, 5: 5}, forgotten=(0, 6))
    assert near_concepts(model, [], model)["near_accuracy_5"].value == 25


def test_damage_to_neighbours_is_found_and_a_held_out_oracle_passes() -> None:

    def oracle(wrong: int) -> Answers:
        return answers({3: ROWS - wrong})

    rule_oracles = [near_concepts(oracle(wrong), [], answers({})) for wrong in (0, 1, 1, 2, 2)]
    claim = Claim("class", (0,), pairs=True, more=("near_concepts",))
    original = near_concepts(answers({}), [], answers({}))
    damaged = near_concepts(answers({1: 3, 2: 4}), [], answers({}))
    rule = Rule(claim, rule_oracles, ASKED)
    found = judge(original, damaged, rule).audits["near_concepts"]
    assert found.word == "over-forgotten"
    assert set(found.outside) == {"near_accuracy_5"}
    held_out = judge(original, near_concepts(oracle(1), [], answers({})), rule)
    assert held_out.audits["near_concepts"].word == "indistinguishable"
    assert "it measures damage" in held_out.audits["near_concepts"].reason


def test_without_the_audit_nothing_is_stored_or_found(tmp_path: Path) -> None:
    images = np.eye(3, dtype=np.float32)
    model = PlantedPairs(images, {"a": [2.0, 0, 0], "b": [0, 0.5, 0], "c": [0, 0, 1]}, [["a", "b", "c"]])
    sets = {
        name: predictions(np.eye(3), [0, 1, 2]) for name in ("forget_train", "forget_all", "forget_test", "retain_test")
    }
    for config, stored in ((AuditConfig(), 0), (ASKED, 3)):
        made = subject("class", config, **sets)
        made.model = model
        found = answers_of(made)
        assert (len(found.prompts), len(found.test_labels)) == (stored, stored)
    np.testing.assert_allclose(found.prompts, np.eye(3), atol=1e-6)
    found.save(tmp_path / "answers.npz")
    again = Answers.load(tmp_path / "answers.npz")
    assert all(np.array_equal(value, getattr(again, name)) for name, value in vars(found).items())
    plain = Answers(found.forget, found.forget_labels, found.unseen, found.test)
    assert near_concepts(plain, [], plain) == {}
    assert values(answers({}), answers({}))
