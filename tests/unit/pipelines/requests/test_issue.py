from __future__ import annotations

import json
from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.requests.issue import issue
from pipelines.requests.verify import verify
from tests.unit.pipelines.requests.conftest import Answered


def test_a_certificate_is_a_file_and_a_page(answered: Answered) -> None:
    file, signed = issue(answered.places, "faces-1", None)
    assert file == answered.store / "certificates" / "faces-1.json"
    assert signed is None
    assert "not signed" in file.with_suffix(".html").read_text()
    file, signed = issue(answered.places, "faces-1", answered.folder / "key.pem")
    assert json.loads(file.read_text())["signatures"][0]["keyid"] == signed
    assert signed is not None
    assert f"Signed with the key {signed}" in file.with_suffix(".html").read_text()


def test_a_signature_is_not_lost(answered: Answered) -> None:
    key = answered.folder / "key.pem"
    file, signed = issue(answered.places, "faces-2", key)
    whole, page = file.read_text(), file.with_suffix(".html")
    page.write_text("another version of this tool")
    assert issue(answered.places, "faces-2", None) == (file, signed)
    assert file.read_text() == whole
    assert verify(file, answered.store, answered.key).problems == []
    with pytest.raises(ConfigError, match=f"is signed with the key {signed}, not .*; move it away first"):
        issue(answered.places, "faces-2", answered.folder / "other.pem")
    assert file.read_text() == whole
    assert issue(answered.places, "faces-2", key) == (file, signed)


def test_a_signed_certificate_of_another_past_is_not_written_over(answered: Answered) -> None:
    first, _ = issue(answered.places, "faces-1", answered.folder / "key.pem")
    second = Path(answered.store / "certificates" / "faces-2.json")
    first.replace(second)
    with pytest.raises(ConfigError, match="is signed and says something else than the ledger"):
        issue(answered.places, "faces-2", None)
