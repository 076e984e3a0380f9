from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cu_core.errors import DamagedFile
from pipelines.requests.answer import roll_back
from pipelines.requests.intake import add_request
from pipelines.requests.ledger import Ledger, canonical
from pipelines.requests.places import Places
from pipelines.requests.state import state_of
from pipelines.requests.verify import differences, verify
from tests.unit.pipelines.requests.answered import answer_all, tiny_model
from tests.unit.pipelines.requests.conftest import Answered


def test_what_was_not_changed_is_sound(answered: Answered) -> None:
    found = verify(answered.certificate, answered.store, answered.key)
    assert (found.problems, found.notes, found.request) == ([], [], "faces-2")
    without = verify(answered.certificate, answered.store, None)
    assert without.problems == []
    assert without.notes == ["signature: not checked, give --key PUBLIC.pem"]


def certificate(change: Callable[[dict[str, Any]], Any], sign: bool = False) -> Callable[[Answered], None]:
    """Change a field of the statement; with ``sign`` sign it anew, as who has the key can."""

    def tamper(answered: Answered) -> None:
        envelope = json.loads(answered.certificate.read_text())
        statement = json.loads(base64.b64decode(envelope["payload"]))
        change(statement)
        envelope["payload"] = base64.b64encode(canonical(statement)).decode()
        answered.certificate.write_text(json.dumps(envelope))
        if sign:
            from pipelines.requests.certificate import seal

            answered.certificate.write_text(json.dumps(seal(statement, answered.folder / "key.pem")))

    return tamper


def field(path: str, value: object) -> Callable[[Answered], None]:
    def change(statement: dict[str, Any]) -> None:
        *parts, last = path.split(".")
        inner = statement["predicate"]
        for part in parts:
            inner = inner[part]
        assert inner[last] != value
        inner[last] = value

    return certificate(change, sign=True)


def envelope(change: Callable[[dict[str, Any]], Any]) -> Callable[[Answered], None]:
    def tamper(answered: Answered) -> None:
        found = json.loads(answered.certificate.read_text())
        change(found)
        answered.certificate.write_text(json.dumps(found))

    return tamper


def entry(number: int, **fields: object) -> Callable[[Answered], None]:
    """Change an entry, without the ones after it."""

    def tamper(answered: Answered) -> None:
        path = answered.places.ledger.path(number)
        path.write_bytes(canonical({**json.loads(path.read_bytes()), **fields}))

    return tamper


def rewrite(number: int, **fields: object) -> Callable[[Answered], None]:
    """Change an entry and make the chain after it anew: only the certificate tells."""

    def tamper(answered: Answered) -> None:
        folder = answered.places.ledger.folder
        stored = [json.loads(p.read_bytes()) for p in sorted(folder.glob("0*.json"))]
        stored[number - 1] |= fields
        for path in folder.glob("0*.json"):
            path.unlink()
        ledger = Ledger(folder)
        for one in stored:
            kept = {k: v for k, v in one.items() if k not in ("entry", "model", "previous", "time")}
            ledger.append(lambda entries, kept=kept: kept)  # type: ignore[misc]

    return tamper


def remove(number: int) -> Callable[[Answered], None]:
    return lambda answered: answered.places.ledger.path(number).unlink()


def flip(find: Callable[[Answered], Path]) -> Callable[[Answered], None]:
    """Change the last byte but one of a file."""

    def tamper(answered: Answered) -> None:
        path = find(answered)
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        path.chmod(0o600)
        path.write_bytes(content)

    return tamper


def named(role: str) -> Callable[[Answered], Path]:
    def find(answered: Answered) -> Path:
        state = state_of(answered.places.ledger.read())
        return answered.store / state.versions[-1].entry.fields[role]["folder"] / "model.safetensors"

    return find


def in_run(name: str) -> Callable[[Answered], Path]:
    return lambda a: a.places.run(state_of(a.places.ledger.read()).versions[-1].entry.fields["run"]) / name


def token(answered: Answered) -> str:
    return str(state_of(answered.places.ledger.read()).requests["faces-2"].received.fields["token"])


def set_file(answered: Answered) -> Path:
    asked = json.loads(answered.places.asked_file(token(answered)).read_text())
    return answered.places.forget_file(asked["forget"])


def asked_of(answered: Answered, name: str) -> dict[str, Any]:
    fields = state_of(answered.places.ledger.read()).requests[name].received.fields
    return dict(json.loads(answered.places.asked_file(fields["token"]).read_text()))


def asked_instead(answered: Answered) -> None:
    """The second request as it was asked names the rows of the first."""
    content = {**asked_of(answered, "faces-2"), "forget": asked_of(answered, "faces-1")["forget"]}
    answered.places.asked_file(token(answered)).write_bytes(canonical(content))


def swap(one: int, other: int) -> Callable[[Answered], None]:
    def tamper(answered: Answered) -> None:
        paths = [answered.places.ledger.path(number) for number in (one, other)]
        contents = [path.read_bytes() for path in paths]
        for path, content in zip(paths, reversed(contents), strict=True):
            path.write_bytes(content)

    return tamper


def append(**fields: object) -> Callable[[Answered], None]:
    """An entry written by hand, that another request is cancelled."""

    def tamper(answered: Answered) -> None:
        last = answered.places.ledger.read()[-1]
        own = {"entry": last.number + 1, "model": "faces", "previous": last.hash, "time": last.time}
        content = {**own, "kind": "cancelled", "request": "faces-2", **fields}
        answered.places.ledger.path(int(str(content["entry"]))).write_bytes(canonical(content))

    return tamper


def fork(answered: Answered) -> None:
    """Another history from the first entry on, of the same requests."""
    for number in range(2, 8):
        answered.places.ledger.path(number).unlink()
    places = Places(answered.store, "faces")
    for request in ({"kind": "by_class", "classes": [5]}, {"kind": "by_predicate", "where": "sample_id < 50"}):
        add_request(places, request)
        answer_all(places)


def meta_of(role: str) -> Callable[[Answered], None]:
    def tamper(answered: Answered) -> None:
        path = named(role)(answered).with_name("meta.json")
        path.write_text(path.read_text().replace('"model.safetensors": "', '"model.safetensors": "0'))

    return tamper


def other_weights(answered: Answered) -> None:
    """Weights and checksum fit each other."""
    tiny_model(named("result")(answered).parent, 99.0)


def same_size(answered: Answered) -> None:
    path = next((answered.folder / "data").rglob("train*.arrow"))
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


TAMPERED: dict[str, tuple[Callable[[Answered], None], str]] = {
    "subject": (
        certificate(lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), sign=True),
        "certificate: subject[0].digest.sha256 is",
    ),
    "a field that was not signed": (
        certificate(lambda s: s["predicate"].update(violations=9)), "signature: it does not belong to the content",
    ),
    "violations": (field("violations", 7), "certificate: predicate.violations is 7, the ledger says 0"),
    "rows read": (field("cost.retain_rows", 1.0), "certificate: predicate.cost.retain_rows is 1.0"),
    "verdict": (field("audit.verdict", "indistinguishable"), "predicate.audit.verdict is 'indistinguishable'"),
    "controls": (field("audit.controls.accuracy.original_fails", False), "audit.controls.accuracy.original_fails is"),
    "claims": (certificate(lambda s: s["predicate"]["claimed"].pop(), sign=True), "certificate: predicate.claimed is"),
    "seed": (field("seed", 5), "certificate: predicate.seed is 5, the ledger says 0"),
    "code": (field("code.commit", "abc"), "certificate: predicate.code.commit is 'abc'"),
    "a field more": (
        certificate(lambda s: s["predicate"].update(approved="yes"), sign=True),
        "certificate: predicate.approved is 'yes', the ledger says absent",
    ),
    "a field less": (
        certificate(lambda s: s["predicate"].pop("not_claimed"), sign=True), "predicate.not_claimed is absent",
    ),
    "another request": (field("request.id", "faces-1"), "certificate: predicate.forget is"),
    "ledger position": (field("ledger.entry", 4), "ledger: entry 4 did not answer faces-2"),
    "ledger position beyond its end": (field("ledger.entry", 99), "names entry 99, but the ledger has 7 entries"),
    "ledger hash": (field("ledger.hash", "0" * 64), "certificate: predicate.ledger.hash is"),
    "signature": (
        envelope(lambda e: e["signatures"][0].update(sig=base64.b64encode(b"x" * 64).decode())),
        "signature: it does not belong to the content",
    ),
    "no signature": (envelope(lambda e: e["signatures"].clear()), "signature: the certificate is not signed"),
    "key id": (envelope(lambda e: e["signatures"][0].update(keyid="f")), "signature: the certificate is signed with a"),
    "entry in the middle": (entry(3, rows=1), "entry 3 of faces was changed, or entry 4 was"),
    "last entry": (entry(7, violations=0, seed=1), "certificate: predicate.ledger.hash is"),
    "first entry": (entry(1, settings="0" * 64), "entry 1 of faces was changed, or entry 2 was"),
    "entry gone": (remove(4), "ledger entry 4 of faces is missing"),
    "last entry gone": (remove(7), "names entry 7, but the ledger has 6 entries"),
    "chain made anew": (rewrite(2, rows=1), "certificate: predicate.ledger.hash is"),
    "result": (flip(named("result")), "result: "),
    "predecessor": (flip(named("predecessor")), "predecessor: "),
    "original": (flip(named("original")), "original: "),
    "shard": (flip(lambda a: next((a.folder / "data").rglob("*.arrow"))), "data: shard "),
    "manifest": (
        lambda a: (a.folder / "data" / "manifest.json").write_text(
            (a.folder / "data" / "manifest.json").read_text().replace('"digits"', '"others"')
        ) and None,
        "data: ",
    ),
    "configuration": (flip(in_run("config.yaml")), "configuration: "),
    "audit": (flip(in_run("audit.json")), "audit: "),
    "settings": (flip(lambda a: next(a.places.ledger.folder.glob("settings-*"))), "settings: "),
    "request as asked": (
        lambda a: a.places.asked_file(token(a)).write_text(
            a.places.asked_file(token(a)).read_text().replace("by mail", "by post")
        ) and None,
        "request: ",
    ),
    "keyed hashes": (flip(lambda a: a.places.rows_file(token(a))), "request: "),
    "forget set": (flip(set_file), "rows: "),
    "salt gone": (lambda a: a.places.salt.unlink(), "request: no salt"),
    "request as asked, gone": (lambda a: a.places.asked_file(token(a)).unlink(), "request: "),
    "keyed hashes gone": (lambda a: a.places.rows_file(token(a)).unlink(), "request: "),
    "forget set of an earlier request": (
        lambda a: a.places.forget_file(asked_of(a, "faces-1")["forget"]).unlink(), "rows: ",
    ),
    "which set was asked for": (asked_instead, "request: "),
    "due date": (field("request.due", "2026-01-01"), "certificate: predicate.request.due is '2026-01-01'"),
    "requests of the batch": (field("batch", ["faces-2", "faces-9"]), "certificate: predicate.batch is"),
    "result in the statement": (field("result.folder", "runs/other"), "certificate: predicate.result.folder is"),
    "figures of the audit": (
        certificate(lambda s: s["predicate"]["audit"]["figures"].update(oracle_gap=0.0), sign=True),
        "certificate: predicate.audit.figures.oracle_gap is 0.0",
    ),
    "a whole number as another type": (
        certificate(lambda s: s["predicate"].update(violations=False), sign=True),
        "predicate.violations is False, the ledger says 0",
    ),
    "entries in another order": (swap(2, 3), "ledger entry 2 of faces is not in its place: it says it is entry 3"),
    "entry of another model": (entry(4, model="others"), "ledger entry 4 of faces is not in its place: it says it is"),
    "entry with spaces": (
        lambda a: a.places.ledger.path(3).write_bytes(a.places.ledger.path(3).read_bytes() + b" ") and None,
        "ledger entry 3 of faces is damaged: it is no canonical entry",
    ),
    "entry that is no JSON": (
        lambda a: a.places.ledger.path(3).write_bytes(b"\x00{") and None, "ledger entry 3 of faces is damaged",
    ),
    "entry appended by hand": (append(previous="0" * 64), "entry 7 of faces was changed, or entry 8 was"),
    "entry appended that skips one": (append(entry=9), "ledger entry 8 of faces is missing"),
    "ledger forked after the first entry": (fork, "certificate: predicate.ledger.hash is"),
    "first entry gone": (remove(1), "ledger entry 1 of faces is missing"),
    "meta.json of the result": (meta_of("result"), "result: "),
    "result gone": (lambda a: shutil.rmtree(named("result")(a).parent), "result: "),
    "result and its checksum": (other_weights, "result: runs/faces-run-6/unlearned holds other weights than those of"),
    "shard of the same size and time": (same_size, "data: shard "),
    "shard gone": (lambda a: next((a.folder / "data").rglob("*.arrow")).unlink(), "data: shard "),
    "page": (
        lambda a: a.certificate.with_suffix(".html").write_text(
            a.certificate.with_suffix(".html").read_text().replace("is not signed", "is signed").replace("Signed", "Si")
        ) and None,
        "page: ",
    ),
    "salt": (lambda a: a.places.salt.write_text("0" * 64) and None, "request: "),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_tampered_with_is_named(answered: Answered, name: str) -> None:
    tamper, said = TAMPERED[name]
    tamper(answered)
    found = verify(answered.certificate, answered.store, answered.key)
    assert any(said in line for line in found.problems), found.problems


def test_another_key_is_no_proof(answered: Answered) -> None:
    found = verify(answered.certificate, answered.store, answered.other)
    assert found.problems == ["signature: the certificate is signed with another key"]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"payload": "eA==", "payloadType": "x", "signatures": []}'])
def test_what_is_no_certificate_is_told(answered: Answered, content: str) -> None:
    answered.certificate.write_text(content)
    with pytest.raises(DamagedFile, match="is no certificate of this tool"):
        verify(answered.certificate, answered.store, None)


def test_a_version_that_was_rolled_back_later_is_told(answered: Answered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.requests.answer.point_aliases", lambda *given: None)
    roll_back(answered.places)
    found = verify(answered.certificate, answered.store, answered.key)
    assert found.problems == []
    assert found.notes == ["version: entry 7 was rolled back later; the current version has not this one's past"]


def test_differences_are_named_by_their_path() -> None:
    said = {"a": {"b": [1, 2]}, "c": 1, "d": 1}
    assert list(differences(said, {"a": {"b": [1, 3]}, "c": 1.0, "e": 2})) == [
        "a.b[1] is 2, the ledger says 3", "c is 1, the ledger says 1.0", "e is absent, the ledger says 2",
        "d is 1, the ledger says absent",
    ]  # fmt: skip
