"""A certificate: the ledger's entry of an answered request as an in-toto statement, in a DSSE envelope."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from cu_core.errors import ConfigError, DamagedFile
from cu_core.messages import reason_of
from cu_core.storage import shown
from pipelines.requests.ledger import canonical
from pipelines.requests.places import Places
from pipelines.requests.state import State, Version

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://contrastive-unlearning/deletion-certificate/v1"
PAYLOAD = "application/vnd.in-toto+json"
INSIDE = ("kind", "requests")
"""Fields of an entry that a certificate does not repeat."""


def version_of(state: State, request: str) -> Version:
    """The version that answered a request.

    Raises: ConfigError if none has.
    """
    found = state.request(request)
    if found.by:
        raise ConfigError(f"{request} has no certificate of its own: {found.why}; see the certificates of those.")
    for version in state.versions:
        if request in version.entry.fields["requests"]:
            return version
    why = f" ({found.why})" if found.why else ""
    answers = f"; `cu requests run {request}` answers it" if found.word == "pending" else ""
    raise ConfigError(f"{request} is {found.word}{why}; a certificate is for a request that is done{answers}.")


def statement_of(places: Places, state: State, request: str) -> dict[str, Any]:
    """The statement about one request, from the ledger alone, so that it can be made again to compare.

    Raises: ConfigError if the request is not done.
    """
    entry, received = version_of(state, request).entry, state.request(request).received
    facts = {key: value for key, value in entry.fields.items() if key not in INSIDE}
    asked = {key: received.fields[key] for key in ("what", "rows", "asked", "forget", "hashes", "due")}
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": f"{places.model}/{entry.fields['run']}", "digest": {"sha256": facts["result"]["weights"]}}
        ],
        "predicateType": PREDICATE,
        "predicate": {
            **facts,
            "model": places.model,
            "request": {**asked, "id": request, "received": received.time, "entry": received.number},
            "batch": list(entry.fields["requests"]),
            "settings": state.opened.fields["settings"],
            "finished": entry.time,
            "ledger": {"entry": entry.number, "hash": entry.hash, "received_hash": received.hash},
        },
    }


def seal(statement: Mapping[str, Any], key: Path | None) -> dict[str, Any]:
    """The envelope; without a key it has no signature."""
    envelope = Envelope(canonical(statement), PAYLOAD, {})
    if key is not None:
        envelope.sign(_signer(key))
    found: dict[str, Any] = envelope.to_dict()
    return found


def _signer(path: Path) -> CryptoSigner:
    content = _key(path)
    try:
        return CryptoSigner(load_pem_private_key(content, None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"--key {path}: must be a private key in PEM without a password (Ed25519, ECDSA or RSA), e.g. of `openssl "
            f"genpkey -algorithm ed25519 -out key.pem`: {_said(error)}."
        ) from error


def public_key(path: Path) -> SSlibKey:
    """Raises: ConfigError for what is no public key."""
    content = _key(path)
    try:
        return SSlibKey.from_crypto(load_pem_public_key(content))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"--key {path}: must be a public key in PEM, e.g. of `openssl pkey -in key.pem -pubout`: {_said(error)}."
        ) from error


def _key(path: Path) -> bytes:
    if path.is_dir():
        raise ConfigError(f"--key: {path} is a folder; name a file.")
    if not path.is_file():
        raise ConfigError(f"--key: no file {path}.")
    return path.read_bytes()


def _said(error: Exception) -> str:
    """What a library says of what is no key, its first sentence."""
    return reason_of(error).partition(". ")[0].rstrip(".")


def open_envelope(path: Path) -> tuple[Envelope, dict[str, Any]]:
    """The envelope and the statement in it.

    Raises: ConfigError if there is no file; DamagedFile if it is no certificate.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name the JSON file of a certificate.")
    if not path.is_file():
        raise ConfigError(f"no certificate {shown(path)}; `cu requests certificate ID` writes one.")
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it holds no object of JSON")
        envelope = Envelope.from_dict(found)
        statement = json.loads(envelope.payload)
        if envelope.payload_type != PAYLOAD or statement["_type"] != STATEMENT:
            raise ValueError("it holds no in-toto statement")
        statement["predicate"]["request"]["id"].partition("-")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise DamagedFile(
            f"{path} is no certificate of this tool, or is damaged ({said}); name the JSON file that "
            f"`cu requests certificate ID` wrote."
        ) from error
    return envelope, statement


def signature_problem(envelope: Envelope, key: SSlibKey) -> str | None:
    """What is wrong with the signature; ``None``: it was made with this key over these bytes."""
    if not envelope.signatures:
        return "signature: the certificate is not signed"
    if key.keyid not in envelope.signatures:
        return "signature: the certificate is signed with another key"
    try:
        envelope.verify([key], 1)
    except VerificationError:
        return "signature: it does not belong to the content; one of them was changed"
    return None
