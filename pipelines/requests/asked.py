"""Requests as they were asked, for the owner alone: ``intake/MODEL/TOKEN.json``; the ledger has keyed hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from cu_core.data.requests import ForgetSet, load_forget_set
from cu_core.errors import DamagedFile
from cu_core.files import atomic_file, for_owner
from cu_core.storage import fetched
from cu_core.stored import read_stored
from pipelines.requests.ledger import canonical
from pipelines.requests.places import Places
from pipelines.requests.salted import Salt
from pipelines.requests.state import State
from pipelines.requests.unentered import new_token


@dataclass(frozen=True)
class Asked:
    """One request in the words of whoever asked."""

    request: Mapping[str, Any]
    """The part ``request`` of a configuration."""
    reason: str
    forget: str
    """Digest of the resolved forget set."""
    notes: tuple[str, ...]
    """What was said of how the rows were found."""


ASKED = TypeAdapter(Asked)


def keep_asked(places: Places, asked: Asked, hashes: Sequence[str]) -> str:
    """Write the request and the keyed hashes of its rows; returns the token that names both files."""
    token = new_token()
    with atomic_file(places.asked_file(token)) as partial:
        for_owner(partial).write_bytes(canonical(asdict(asked)))
    with atomic_file(places.rows_file(token)) as partial:
        partial.write_text("".join(f"{one}\n" for one in hashes), encoding="ascii")
    return token


def read_asked(places: Places, token: str) -> Asked:
    """Raises: DamagedFile if it is gone or holds something else."""
    path = places.asked_file(token)
    if not fetched(path):
        raise DamagedFile(f"{path} is missing: the request as it was asked; bring it from a copy.")
    return read_stored(path, ASKED, "bring it from a copy")


def fingerprint(salt: Salt, asked: Asked) -> str:
    """The request in the ledger."""
    return salt.of(f"request:{canonical(asdict(asked)).decode()}")


def found_set_of(places: Places, state: State, name: str) -> ForgetSet:
    """The rows of a request, as they were found in the data when it came."""
    received = state.request(name).received
    asked = read_asked(places, received.fields["token"])
    return load_forget_set(places.forget_file(asked.forget), state.data_at(received.number))


def forget_set_of(places: Places, state: State, name: str) -> ForgetSet:
    """The rows of a request that are in the data now, by their numbers there."""
    return _set_before(places, state, name, state.last + 1)


def _set_before(places: Places, state: State, name: str, number: int) -> ForgetSet:
    """The rows of a request in the data as they were before an entry."""
    found, received = found_set_of(places, state, name), state.request(name).received.number
    for drop in state.drops:
        if received < drop.entry.number < number:
            gone = union_of([_set_before(places, state, one, drop.entry.number) for one in drop.requests])
            assert gone is not None
            found = _after(found, gone, drop.entry.fields["digest"])
    return found


def _after(forget: ForgetSet, gone: ForgetSet, digest: str) -> ForgetSet:
    """What is left of the rows when others are taken out of the data: the rows after those move up."""
    left = without(forget, gone)
    return replace(left, rows=left.rows - np.searchsorted(gone.rows, left.rows), data_digest=digest)


def union_of(sets: Sequence[ForgetSet]) -> ForgetSet | None:
    """All rows of several requests; of classes if each of them is, else of samples."""
    if not sets:
        return None
    rows, where = np.unique(np.concatenate([one.rows for one in sets]), return_index=True)
    ids = np.concatenate([one.sample_ids for one in sets])[where]
    of_classes = all(one.kind == "class" for one in sets)
    classes = tuple(sorted({c for one in sets for c in one.classes})) if of_classes else ()
    return ForgetSet("class" if of_classes else "sample", classes, rows, ids, sets[0].data_digest)


def without(forget: ForgetSet, gone: ForgetSet | None, before: ForgetSet | None = None) -> ForgetSet:
    """The rows that are not in ``gone``."""
    kept = np.ones(len(forget.rows), bool) if gone is None else ~np.isin(forget.rows, gone.rows)
    rows, ids = forget.rows[kept], forget.sample_ids[kept]
    return ForgetSet(forget.kind, forget.classes, rows, ids, forget.data_digest, forget.notes, before=before)
