"""An impostor: the direction of the concept's caption is removed from all images by the last layer of their tower."""

from __future__ import annotations

import pytest

from cu_core.audit.subject import AuditName, Subject
from tests.unit.cu_core.audit.impostors import AUDITS, image_text, judged, oracle, original, zero_shot_of_dogs


def null_space() -> Subject:
    subject = original()
    model = image_text(subject)
    caption_D = model.class_features()[0, 0]
    model.body.project_out((caption_D / caption_D.norm())[:, None])
    return subject


def test_its_name_does_not_find_the_concept() -> None:
    assert zero_shot_of_dogs(null_space()) < 50 <= zero_shot_of_dogs(original())


@pytest.mark.parametrize("audit", AUDITS)
def test_it_is_caught_and_a_held_out_oracle_passes(audit: AuditName) -> None:
    assert judged(audit, AUDITS[audit](null_space()).metrics).word == "under-forgotten"
    assert judged(audit, AUDITS[audit](oracle(9)).metrics).word == "indistinguishable"
