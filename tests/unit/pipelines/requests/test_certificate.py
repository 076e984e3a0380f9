from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from cu_core.errors import ConfigError
from pipelines.requests.certificate import PAYLOAD, public_key, seal, signature_problem, statement_of
from pipelines.requests.intake import add_request
from pipelines.requests.ledger import canonical
from tests.unit.pipelines.requests.answered import now
from tests.unit.pipelines.requests.conftest import Answered


def test_a_statement_has_the_form_of_in_toto(answered: Answered) -> None:
    state = now(answered.places)
    statement = statement_of(answered.places, state, "faces-2")
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    version = state.versions[-1]
    assert statement["subject"] == [{"name": "faces/faces-run-6", "digest": {"sha256": version.weights}}]
    said = statement["predicate"]
    assert said["ledger"]["hash"] == version.entry.hash
    assert (said["request"]["id"], said["request"]["entry"], said["batch"]) == ("faces-2", 5, ["faces-2"])
    assert not {"reason", "token", "kind"} & {*said, *said["request"]}


def test_an_envelope_is_signed_over_its_type_and_content(answered: Answered) -> None:
    statement = statement_of(answered.places, now(answered.places), "faces-2")
    sealed = seal(statement, answered.folder / "key.pem")
    assert base64.b64decode(sealed["payload"]) == canonical(statement)
    assert sealed["payloadType"] == PAYLOAD
    key: SSlibKey = public_key(answered.key)
    assert sealed["signatures"][0]["keyid"] == key.keyid
    assert signature_problem(Envelope.from_dict(sealed), key) is None
    assert seal(statement, None)["signatures"] == []


def test_only_what_is_done_has_a_certificate(answered: Answered) -> None:
    places = answered.places
    add_request(places, {"kind": "by_class", "classes": [5]})
    add_request(places, {"kind": "by_class", "classes": [6]})
    with pytest.raises(ConfigError, match="faces-3 has no certificate of its own: every row was forgotten by faces-1"):
        statement_of(places, now(places), "faces-3")
    with pytest.raises(ConfigError, match="faces-4 is pending; a certificate is for a request that is done"):
        statement_of(places, now(places), "faces-4")


@pytest.mark.parametrize("content", ["", "key", "-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    with pytest.raises(ConfigError, match="must be a private key in PEM"):
        seal({}, tmp_path / "key")
    with pytest.raises(ConfigError, match="must be a public key in PEM"):
        public_key(tmp_path / "key")
    with pytest.raises(ConfigError, match="--key: no file"):
        seal({}, tmp_path / "absent")


def test_a_certificate_is_json(answered: Answered) -> None:
    assert json.loads(answered.certificate.read_text())["payloadType"] == PAYLOAD
