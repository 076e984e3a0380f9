"""The tables of inputs name tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(p for p in (ROOT / "docs" / "results" / "inputs").glob("*.md") if p.name != "index.md")


def defined() -> set[str]:
    trees = (ast.parse(file.read_text()) for file in (ROOT / "tests").rglob("test_*.py"))
    return {n.name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def rows(page: Path) -> list[str]:
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    return [line for line in lines if not re.match(r"\| (input|situation) \|", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_row_names_a_test_that_exists(page: Path) -> None:
    there = defined()
    for row in rows(page):
        named = re.findall(r"test_\w+(?!\.py|\w)", re.sub(r"test_\w+\.py", "", row.rpartition(" | ")[2]))
        assert named, f"no test: {row}"
        assert set(named) <= there, row


def test_the_overview_counts_the_rows() -> None:
    told = re.findall(r"^\| \[.*\]\((\w+\.md)\) \| (\d+) \|", (PAGES[0].parent / "index.md").read_text(), re.M)
    assert {name: int(count) for name, count in told} == {page.name: len(rows(page)) for page in PAGES}
    assert sum(int(count) for _, count in told) > 100
