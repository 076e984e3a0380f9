"""``cu requests certificate``: write the certificate of a request."""

from __future__ import annotations

import json
from pathlib import Path

from cu_core.files import write_text
from pipelines.requests.certificate import seal, statement_of
from pipelines.requests.certificate_page import write_page
from pipelines.requests.places import Places
from pipelines.requests.state import state_of


def issue(places: Places, request: str, key: Path | None) -> tuple[Path, str | None]:
    """Write JSON and page; returns the file and the id of the key that signed it."""
    statement = statement_of(places, state_of(places.ledger.read()), request)
    envelope = seal(statement, key)
    signers = [one["keyid"] for one in envelope["signatures"]]
    file = places.certificate(request)
    write_page(file.with_suffix(".html"), statement, signers)
    write_text(file, json.dumps(envelope, indent=1) + "\n")
    return file, signers[0] if signers else None
