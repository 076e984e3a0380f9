"""The README's table of files is the files' own first lines."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows() -> list[str]:
    """A line per source file: its path and the first sentence of its docstring."""
    found = []
    for folder in ("cu_core", "pipelines"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            doc = ast.get_docstring(ast.parse(path.read_text()))
            if doc:
                found.append(f"| `{path.relative_to(ROOT)}` | {doc.splitlines()[0].replace('|', '&#124;')} |")
    return found


def test_every_file_has_its_line() -> None:
    readme = (ROOT / "README.md").read_text()
    start = readme.index("## One line per file")
    have = [line for line in readme[start:].splitlines() if line.startswith("| `")]
    assert have == rows()
