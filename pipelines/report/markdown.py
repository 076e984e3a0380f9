"""Markdown files that commands write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cu_core.errors import ConfigError
from cu_core.storage import fetched


def check_out(out: Path | None) -> None:
    """Raises: ConfigError if the file could not be written, or if it exists and is not a table of this program."""
    if out is not None and fetched(out) and not out.read_text(errors="replace").startswith("```\ncu "):
        raise ConfigError(f"--out: {out} exists and is no table of this program; name another file.")
    if out is not None and (out.is_dir() or out.parent.is_file()):
        raise ConfigError(f"--out: {out} must be a file that can be written; it is a folder, or lies in a file.")


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table, without a line break at the end."""
    lines = [_line(headings), "|" + "---|" * len(headings), *map(_line, rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
