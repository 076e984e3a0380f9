from __future__ import annotations

import json

from pipelines.requests.issue import issue
from tests.unit.pipelines.requests.conftest import Answered


def test_a_certificate_is_a_file_and_a_page(answered: Answered) -> None:
    file, signed = issue(answered.places, "faces-1", answered.folder / "key.pem")
    assert file == answered.store / "certificates" / "faces-1.json"
    assert json.loads(file.read_text())["signatures"][0]["keyid"] == signed
    assert signed is not None
    assert f"Signed with the key {signed}" in file.with_suffix(".html").read_text()
    file, signed = issue(answered.places, "faces-1", None)
    assert signed is None
    assert "not signed" in file.with_suffix(".html").read_text()
