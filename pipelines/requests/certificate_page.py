"""A certificate as one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cu_core.files import write_text
from cu_core.storage import fetch, shown
from pipelines.report.audit_page import PLAIN_WORDS, environment
from pipelines.requests.ledger import canonical

RECORD = (
    "original", "predecessor", "result", "data", "request", "configuration", "settings", "seed", "code", "environment",
    "workers", "audit", "forget", "union",
)  # fmt: skip
"""Fields of the predicate that are listed one by one."""
ELSEWHERE = ("audit.figures", "audit.controls", "audit.reason")
"""Parts of them that have a table of their own or are left to the JSON file."""


def write_page(target: Path, statement: Mapping[str, Any], signers: Sequence[str]) -> None:
    """Write the page of a statement; ``signers`` are the ids of the keys that signed it."""
    write_text(target, page_of(statement, signers))


def page_of(statement: Mapping[str, Any], signers: Sequence[str]) -> str:
    """The page."""
    said = json.loads(canonical(statement))["predicate"]  # in the order of the file, whoever gives it
    page = environment().get_template("certificate.html.jinja")
    record = [line for name in RECORD for line in _flat(name, said[name])]
    plain = PLAIN_WORDS[said["audit"]["verdict"]]
    return page.render(said=said, plain=plain, signers=signers, record=record)


def page_problems(page: Path, statement: Mapping[str, Any], signers: Sequence[str]) -> list[str]:
    """The page beside a certificate, as it lies in the storage, against it."""
    fetch(page, anew=True)
    if not page.is_file() or page.read_bytes() == page_of(statement, signers).encode():
        return []
    again = "`cu requests certificate` writes it again"
    return [f"page: {shown(page)} was changed, or another version of this tool made it; {again}"]


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if name in ELSEWHERE or value is None:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    else:
        yield name, str(value)
