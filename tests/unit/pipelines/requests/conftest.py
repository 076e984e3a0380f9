from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.requests.intake import add_request
from pipelines.requests.issue import issue
from pipelines.requests.places import Places
from tests.unit.pipelines.requests.answered import answer_all, opened


def write_keys(folder: Path, name: str) -> None:
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    none = serialization.NoEncryption()
    (folder / f"{name}.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)


@pytest.fixture(scope="session")
def two_answered(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """A model that answered a class and then some rows; the certificate of the second request is signed."""
    folder = tmp_path_factory.mktemp("answered")
    places = opened(folder, digits)
    write_keys(folder, "key")
    write_keys(folder, "other")
    for request in ({"kind": "by_class", "classes": [5]}, {"kind": "by_predicate", "where": "sample_id < 60"}):
        add_request(places, request, reason="asked by mail")
        answer_all(places)
    issue(places, "faces-2", folder / "key.pem")
    return folder


@pytest.fixture
def answered(two_answered: Path, monkeypatch: pytest.MonkeyPatch) -> Answered:
    """The same files, put back after each test that changes them. There is no registry."""
    monkeypatch.setattr("pipelines.requests.verify.compare_registry", lambda *given: ([], []))
    kept = two_answered.with_name(f"{two_answered.name}-kept")
    if not kept.exists():
        shutil.copytree(two_answered, kept)
    shutil.rmtree(two_answered)
    shutil.copytree(kept, two_answered)
    return Answered(two_answered)


class Answered:
    """Places of the files of ``two_answered``."""

    def __init__(self, folder: Path):
        self.folder, self.store = folder, folder / "out"
        self.places = Places(self.store, "faces")
        self.certificate = self.places.certificate("faces-2")
        self.key, self.other = folder / "key.pub", folder / "other.pub"
