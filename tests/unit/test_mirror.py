"""Tests mirror the tree: a source file has its test file under the same name. What has none stands in a list."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("unmirrored.txt")
"""Source files without a test file of their name; others test them. It may only become shorter."""


def without_test() -> list[str]:
    files = [p for folder in ("cu_core", "pipelines") for p in (ROOT / folder).rglob("*.py")]
    paths = sorted(p.relative_to(ROOT) for p in files if not p.name.startswith("__"))
    return [str(p) for p in paths if not (ROOT / "tests" / "unit" / p.parent / f"test_{p.name}").exists()]


def test_what_has_no_test_file_is_listed() -> None:
    assert without_test() == LIST.read_text().splitlines()
