"""An impostor: the concept's own word has the vector of another word; images and all other words are as they were."""

from __future__ import annotations

import pytest
import torch

from cu_core.audit.subject import AuditName, Subject
from tests.unit.cu_core.audit.impostors import AUDITS, image_text, judged, oracle, original, zero_shot_of_dogs
from tests.unit.cu_core.audit.words import WordTowers


def word_remapped() -> Subject:
    subject = original()
    towers = image_text(subject).body
    assert isinstance(towers, WordTowers)
    dog, cat = (towers.vocabulary.index(word) for word in ("dog", "cat"))
    with torch.no_grad():
        weight = towers.body.table.weight
        weight[dog] = weight[cat] + 0.1 * weight[towers.vocabulary.index("rose")]
    return subject


def test_its_name_does_not_find_the_concept() -> None:
    assert zero_shot_of_dogs(word_remapped()) < 50 <= zero_shot_of_dogs(original())


@pytest.mark.parametrize("audit", AUDITS)
def test_it_is_caught_and_a_held_out_oracle_passes(audit: AuditName) -> None:
    assert judged(audit, AUDITS[audit](word_remapped()).metrics).word == "under-forgotten"
    assert judged(audit, AUDITS[audit](oracle(9)).metrics).word == "indistinguishable"
