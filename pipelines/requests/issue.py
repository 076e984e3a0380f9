"""``cu requests certificate``: write the certificate of a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cu_core.errors import ConfigError
from cu_core.files import write_text
from cu_core.storage import fetch, shown
from pipelines.requests.certificate import open_envelope, seal, statement_of
from pipelines.requests.certificate_page import write_page
from pipelines.requests.ledger import canonical
from pipelines.requests.places import Places
from pipelines.requests.state import state_of


def issue(places: Places, request: str, key: Path | None) -> tuple[Path, str | None]:
    """Write JSON and page; returns the file and the id of the key that signed it. Without a key, a signed certificate
    stays as it is, and its page is written again.

    Raises: ConfigError if one is there that another key signed, or that says something else than the ledger.
    """
    statement = statement_of(places, state_of(places.ledger.read()), request)
    file, envelope = places.certificate(request), seal(statement, key)
    fetch(file, anew=True)
    if file.is_file():
        envelope = _kept(file, statement, envelope)
    signers = [one["keyid"] for one in envelope["signatures"]]
    write_page(file.with_suffix(".html"), statement, signers)
    write_text(file, json.dumps(envelope, indent=1) + "\n")
    return file, signers[0] if signers else None


def _kept(file: Path, statement: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """The envelope to write where there is one: a signature is never lost."""
    old, said = open_envelope(file)
    earlier, now = list(old.signatures), [one["keyid"] for one in made["signatures"]]
    if not earlier or earlier == now:
        return made
    if said != json.loads(canonical(statement)):
        raise ConfigError(f"{shown(file)} is signed and says something else than the ledger; move it away first.")
    if now:
        raise ConfigError(f"{shown(file)} is signed with the key {earlier[0]}, not {now[0]}; move it away first.")
    found: dict[str, Any] = old.to_dict()
    return found
