"""``cu requests verify``: a certificate against its signature, the ledger, and what lies in the storage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cu_core.checkpoint import read_meta
from cu_core.config_io import config_from
from cu_core.data.checked import check_shard
from cu_core.data.schema import MANIFEST, read_manifest
from cu_core.errors import DamagedFile, UserError
from cu_core.files import sha256_of
from cu_core.messages import shown_value
from cu_core.storage import fetch, place
from cu_core.weights_file import META
from pipelines.requests.asked import fingerprint, read_asked
from pipelines.requests.certificate import open_envelope, public_key, signature_problem, statement_of
from pipelines.requests.certificate_page import page_problems
from pipelines.requests.chain import batch_of, weights_of
from pipelines.requests.data_versions import another_version, drops_between, told_drops
from pipelines.requests.ledger import Entry, sha256_hex
from pipelines.requests.opened import written_settings
from pipelines.requests.places import Places, of_request
from pipelines.requests.registry import compare_registry
from pipelines.requests.salted import Salt, read_salt
from pipelines.requests.state import State, state_of

ABSENT = object()


@dataclass
class Verified:
    """What was found."""

    request: str
    places: Places
    entry: int = 0
    """Entry of the ledger that answered the request."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was not checked, and why."""


def verify(certificate: Path, store: Path, key: Path | None) -> Verified:
    """Compare a certificate with everything that it names, as it lies in the storage: copies of this machine are
    fetched anew.

    Raises: UserError if it is no certificate, or no ledger of its model is there.
    """
    public = public_key(key) if key else None
    envelope, statement = open_envelope(certificate)
    request = statement["predicate"]["request"]["id"]
    places = of_request(store, request)
    found = Verified(request, places)
    if public is not None:
        found.problems += [problem] if (problem := signature_problem(envelope, public)) else []
    elif envelope.signatures:
        found.notes.append("signature: not checked, give --key PUBLIC.pem")
    else:
        found.notes.append("signature: none; whoever can write the storage could have made this certificate")
    found.problems += places.ledger.problems()
    if found.problems and any(line.startswith("ledger") for line in found.problems):
        found.notes.append("the rest was not compared: the ledger is not whole")
        return found
    if _compare_with_ledger(found, statement):
        found.problems += page_problems(certificate.with_suffix(".html"), statement, list(envelope.signatures))
    return found


def _compare_with_ledger(found: Verified, statement: Mapping[str, Any]) -> bool:
    """Also with the storage; returns whether the statement is that of the ledger."""
    entries = found.places.ledger.read()
    said = statement["predicate"].get("ledger")
    number = said.get("entry") if isinstance(said, Mapping) else None
    if not isinstance(number, int) or not 0 < number <= len(entries):
        last = f"the ledger has {len(entries)} entries"
        found.problems.append(f"ledger: the certificate names entry {shown_value(number)}, but {last}")
        return False
    found.entry = number
    try:
        state = state_when(entries, number)
        expected = statement_of(found.places, state, found.request)
    except UserError as error:
        found.problems.append(f"ledger: entry {number} did not answer {found.request}: {error}")
        return False
    differing = [f"certificate: {line}" for line in differences(statement, expected)]
    found.problems += differing
    _check_storage(found, entries, state)
    later = state_of(entries)
    with contextlib.suppress(DamagedFile):  # settings that were changed are a problem of their own
        problems, notes = compare_registry(found.places, later, config_from(written_settings(found.places, later)))
        found.problems += problems
        found.notes += notes
    if not any(version.entry.number == number for version in later.versions):
        found.notes.append(
            f"version: entry {number} was rolled back later; the current version has not this one's past"
        )
    return not differing


def state_when(entries: Sequence[Entry], number: int) -> State:
    """The state after an entry."""
    return state_of(entries[:number])


def differences(said: object, expected: object, path: str = "") -> Iterator[str]:
    """Every place in which a statement differs from what the ledger says."""
    if isinstance(said, Mapping) and isinstance(expected, Mapping):
        for key in dict.fromkeys([*expected, *said]):
            inner = f"{path}.{key}" if path else str(key)
            yield from differences(said.get(key, ABSENT), expected.get(key, ABSENT), inner)
    elif isinstance(said, list) and isinstance(expected, list) and len(said) == len(expected):
        for number, (one, other) in enumerate(zip(said, expected, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif type(said) is not type(expected) or said != expected:
        yield f"{path} is {_shown(said)}, the ledger says {_shown(expected)}"


def _shown(value: object) -> str:
    return "absent" if value is ABSENT else shown_value(value)


def _check_storage(found: Verified, entries: Sequence[Entry], state: State) -> None:
    """Everything that the entry names, and the request that it answers."""
    facts = state.versions[-1].entry.fields

    def check(name: str, look: Callable[[], str | None]) -> None:
        try:
            problem = look()
        except (UserError, OSError) as error:
            problem = str(error)
        if problem:
            found.problems.append(f"{name}: {problem}")

    for role in ("original", "predecessor", "result"):
        check(role, lambda role=role: _model(found.places, facts[role]))  # type: ignore[misc]
    for role in ("configuration", "audit"):
        check(role, lambda role=role: _file(found.places, facts[role]))  # type: ignore[misc]
    check("settings", lambda: _settings(found.places, state))
    for line in _data(found, state_of(entries), facts["data"]):
        found.problems.append(f"data: {line}")
    check("request", lambda: _request(found, state))
    check("rows", lambda: _rows(found, entries, state))


def _model(places: Places, said: Mapping[str, str]) -> str | None:
    folder = places.store / said["folder"]
    fetch(folder / META, anew=True)
    for name in read_meta(folder, verify=False)["files"]:
        fetch(folder / name, anew=True)
    weights = weights_of(read_meta(folder))
    return None if weights == said["weights"] else f"{said['folder']} holds other weights than those of the ledger"


def _settings(places: Places, state: State) -> str | None:
    written_settings(places, state)
    return None


def _file(places: Places, said: Mapping[str, str]) -> str | None:
    path = places.store / said["file"]
    fetch(path, anew=True)
    if not path.is_file():
        return f"{said['file']} is missing"
    return None if sha256_of(path) == said["sha256"] else f"{said['file']} was changed"


def _data(found: Verified, later: State, said: Mapping[str, str]) -> Iterator[str]:
    """The data as they are now against the version that was used, or a later one that the ledger records."""
    folder = place(said["path"])
    fetch(folder / MANIFEST, anew=True)
    try:
        manifest = read_manifest(folder)
    except UserError as error:
        yield str(error)
        return
    expected = said["manifest"]
    if drops := drops_between(later, found.entry, manifest.digest):
        expected = drops[-1].entry.fields["manifest"]
        found.notes.append(
            f"data: version {said['digest']} was used; {told_drops(drops)}. The version that was used cannot be "
            f"compared any more; the present one, {manifest.digest}, was compared"
        )
    elif manifest.digest == said["digest"]:
        gone = [drop for drop in later.drops if drop.entry.number > found.entry]
        if gone:
            found.notes.append(f"data: {told_drops(gone)}, but {said['path']} holds them again")
    else:
        yield f"{said['path']} {another_version(manifest, later, found.entry)}"
        return
    if sha256_of(folder / MANIFEST) != expected:
        yield f"{folder / MANIFEST} was changed"
    for shard in manifest.shards:
        path = folder / shard.path
        fetch(path, anew=True)
        try:
            check_shard(path, shard, anew=True)
        except (UserError, FileNotFoundError) as error:
            yield f"shard {shard.path}: {error}"


def _request(found: Verified, state: State) -> str | None:
    """The request as it was asked, and the keyed hashes of its rows."""
    fields = state.request(found.request).received.fields
    path = found.places.rows_file(fields["token"])
    fetch(path, anew=True)
    if not path.is_file() or sha256_hex(path.read_bytes()) != fields["hashes"]:
        return f"{path} is missing or was changed"
    asked = read_asked(found.places, fields["token"])
    if fingerprint(read_salt(found.places.salt), asked) != fields["asked"]:
        return f"{found.places.asked_file(fields['token'])} or the model's salt was changed since it was entered"
    return None


def _rows(found: Verified, entries: Sequence[Entry], state: State) -> str | None:
    """The rows that were forgotten, from the requests' files."""
    entry = state.versions[-1].entry
    begun = max(e.number for e in entries[: entry.number] if e.kind == "started")
    batch = batch_of(found.places, state_when(entries, begun), entry.fields["requests"])
    salt: Salt = read_salt(found.places.salt)
    if batch is None or salt.of(f"forget:{batch.new.digest}") != entry.fields["forget"]:
        return "the files of the requests name other rows than those that were forgotten"
    if salt.of(f"forget:{batch.union.digest}") != entry.fields["union"]:
        return "the files of earlier requests name other rows than those that the audit was about"
    return None
