"""What SECURITY.md and the table of the machine say has a test, and the test exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "SECURITY.md", ROOT / "docs" / "results" / "inputs" / "machine.md")
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+(?:::\w+)?)`", "".join(path.read_text() for path in PAGES))))


def test_every_line_names_a_test() -> None:
    table = (ROOT / "SECURITY.md").read_text().partition("## What is held")[2].partition("## What is not")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(lines) > 10
    assert all("`tests/" in line for line in lines)


@pytest.mark.parametrize("test", NAMED)
def test_the_test_exists(test: str) -> None:
    path, _, function = test.partition("::")
    text = (ROOT / path).read_text()
    assert f"def {function or 'test_'}" in text
