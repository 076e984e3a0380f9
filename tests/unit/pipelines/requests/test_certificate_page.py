from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.requests.certificate import statement_of
from pipelines.requests.certificate_page import write_page
from pipelines.requests.facts import claims
from tests.unit.pipelines.requests.answered import now
from tests.unit.pipelines.requests.conftest import Answered


def test_a_page_says_what_is_claimed_and_what_is_not(answered: Answered, tmp_path: Path) -> None:
    statement = statement_of(answered.places, now(answered.places), "faces-2")
    write_page(tmp_path / "a.html", statement, [])
    page = (tmp_path / "a.html").read_text()
    for line in (
        *sum(claims(compared=False).values(), []),
        "This certificate is not signed.",
        statement["predicate"]["ledger"]["hash"],
    ):
        assert line in page
    assert "result.weights" in page
    assert "audit.figures" not in page
    assert not {"<link", "src=", "http://"} & set(page.split())


def test_everything_is_escaped(answered: Answered, tmp_path: Path) -> None:
    statement: Any = statement_of(answered.places, now(answered.places), "faces-2")
    said = statement["predicate"]
    for part in (said["audit"], said["configuration"], said["request"], said["code"]):
        part.update({key: "<script>alert(1)</script>" for key, value in part.items() if isinstance(value, str)})
    said["audit"]["verdict"] = "inconclusive"
    said["batch"], said["claimed"] = ["<b>", said["request"]["id"]], ["<i>"]
    write_page(tmp_path / "a.html", statement, ["<key>"])
    page = (tmp_path / "a.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for text in ("<b>,", "<i></li>", "<key>"):
        assert text not in page
