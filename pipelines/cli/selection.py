"""Which rows ``cu requests add`` is about: a list, an expression, classes or a concept."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cu_core.errors import ConfigError
from cu_core.leftovers import partial_name


def check_selection(
    ids: str | None, where: str | None, classes: Sequence[str] | None, concept: Sequence[str] | None
) -> None:
    """Raises: ConfigError unless exactly one is given, and says something."""
    given = {"--ids": ids, "--where": where, "--class": classes, "--concept": concept}
    named = [option for option, value in given.items() if value not in (None, [])]
    if len(named) != 1:
        must = "give exactly one of --ids, --where, --class and --concept"
        raise ConfigError(f"{must}, got {' and '.join(named) or 'none'}.")
    if ids is not None and not ids.strip():
        raise ConfigError("--ids: must name a file, got an empty text.")
    if any(not one.strip() for one in classes or ()):
        raise ConfigError("--class: must name a class, got an empty text.")


@contextlib.contextmanager
def list_of_ids(ids: str | None, intake: Path) -> Iterator[str]:
    """The file of a list of ids; standard input is kept in one while the block runs. One that a killed command left
    is swept by the next."""
    if ids != "-":
        yield ids or ""
        return
    folder = partial_name(intake / "ids")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        file = folder / "standard-input"
        file.write_bytes(sys.stdin.buffer.read())
        yield str(file)
    finally:
        shutil.rmtree(folder)


def selection(where: str | None, classes: Sequence[str] | None, concept: Sequence[str] | None) -> dict[str, Any]:
    """The request of an expression, of classes, or of a concept."""
    if where is not None:
        return {"kind": "by_predicate", "where": where}
    if classes:
        return {"kind": "by_class", "classes": [int(one) if one.isdecimal() else one for one in classes]}
    first, *more = concept or []
    return {"kind": "by_concept", "concept": first, "synonyms": more}
