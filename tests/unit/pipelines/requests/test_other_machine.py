"""A storage at an address: what one machine entered is checked on another, which has copies of it or none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from cu_core.storage import named_file, place
from pipelines.requests.intake import add_request
from pipelines.requests.issue import issue
from pipelines.requests.replay import replay
from pipelines.requests.verify import Verified, verify
from tests.unit.pipelines.requests.answered import answer_all, now, opened


@pytest.fixture
def shared(tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is at the address, after one machine has answered a request; this is the other machine."""
    monkeypatch.setattr("pipelines.requests.verify.compare_registry", lambda *given: ([], []))
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "one"))
    places = opened(tmp_path, digits, store=f"file://{tmp_path}/shared")
    add_request(places, {"kind": "by_class", "classes": [5]})
    answer_all(places)
    issue(places, "faces-1", None)
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "two"))
    return tmp_path / "shared"


def check(shared: Path) -> Verified:
    return verify(named_file(f"file://{shared}/certificates/faces-1.json"), place(f"file://{shared}"), None)


def test_a_machine_without_copies_finds_the_certificate_sound(shared: Path) -> None:
    assert check(shared).problems == []


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("certificates/faces-1.html", "page"),
        ("ledgers/faces/00000003.json", "ledger entry 3"),
        ("ledgers/faces/rows/*.txt", "request"),
        ("runs/*/audit.json", "audit"),
        ("runs/*/config.yaml", "configuration"),
        ("runs/*/unlearned/model.safetensors", "result"),
    ],
)
def test_what_was_changed_at_the_address_is_named_on_a_machine_with_copies(shared: Path, file: str, named: str) -> None:
    assert check(shared).problems == []
    (found,) = shared.glob(file)
    found.write_bytes(found.read_bytes() + b" ")
    problems = check(shared).problems
    assert any(line.startswith(named) for line in problems), problems


class Begun(Exception):
    """The model from which the run began was found."""


def test_a_replay_begins_from_the_model_at_the_address(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(*given: object) -> None:
        raise Begun

    monkeypatch.setattr("pipelines.requests.replay._unlearn_again", begun)
    verified = check(shared)
    with pytest.raises(Begun):
        replay(verified.places, verified.entry)
    folder = now(verified.places).opened.fields["original"]
    shutil.rmtree(shared / folder)
    shutil.rmtree(place(f"file://{shared}") / folder)
    with pytest.raises(ConfigError, match=f"file://{shared}/{folder} is gone"):
        replay(verified.places, verified.entry)
