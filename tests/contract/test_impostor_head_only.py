"""An impostor: only the last layer of the image tower changed; it turns the concept to where no name lies."""

from __future__ import annotations

import pytest
import torch

from cu_core.audit.subject import AuditName, Subject
from tests.unit.cu_core.audit.impostors import (
    AUDITS,
    NOWHERE,
    image_text,
    judged,
    oracle,
    original,
    zero_shot_of_dogs,
)

CATCHING = [name for name in AUDITS if name not in ("wordings", "languages")]
"""No word that means the concept lies there, so searches by such words find it as little as an oracle's do."""


def head_only() -> Subject:
    subject = original()
    head = image_text(subject).body.heads("image")[0]
    with torch.no_grad():
        turned = torch.eye(len(head))
        turned[[0, 4]] = torch.eye(len(head))[[NOWHERE, NOWHERE + 1]]
        turned[[NOWHERE, NOWHERE + 1]] = torch.eye(len(head))[[0, 4]]
        head.copy_(turned)
    return subject


def test_its_name_does_not_find_the_concept() -> None:
    assert zero_shot_of_dogs(head_only()) < 50 <= zero_shot_of_dogs(original())


@pytest.mark.parametrize("audit", CATCHING)
def test_it_is_caught_and_a_held_out_oracle_passes(audit: AuditName) -> None:
    assert judged(audit, AUDITS[audit](head_only()).metrics).word == "under-forgotten"
    assert judged(audit, AUDITS[audit](oracle(9)).metrics).word == "indistinguishable"


@pytest.mark.parametrize("audit", ["wordings", "languages"])
def test_known_words_do_not_show_it(audit: AuditName) -> None:
    assert judged(audit, AUDITS[audit](head_only()).metrics).word != "under-forgotten"
