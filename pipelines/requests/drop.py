"""``cu data drop --request``: forgotten rows are taken out of the data, and the model's ledger records it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cu_core.data.drop import drop_rows
from cu_core.data.forget_sets import ForgetSet
from cu_core.data.row_selection import Selection, select_training_rows
from cu_core.data.schema import MANIFEST, Dropped, Manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError
from cu_core.files import sha256_of
from cu_core.storage import shown
from pipelines.requests.asked import forget_set_of, union_of
from pipelines.requests.data_versions import another_version, told_drops
from pipelines.requests.ledger import Entry
from pipelines.requests.places import Places, models_in
from pipelines.requests.state import Request, State, state_of


def drop_requests(
    places: Places, names: Sequence[str], reader: ShardReader, out: Path | None
) -> tuple[Manifest, Selection | None, Entry | None]:
    """Take the training rows of requests that are done out of the data (in place: inside ``rewriting``), and enter it.

    A command that was killed after it had rewritten the data, and before it entered that, is ended.

    Returns: the new manifest; the rows, absent if they were gone already; the entry, absent with ``out``.

    Raises: ConfigError if a request is not done, its rows were dropped before, or these are not the model's data.
    """
    names = list(dict.fromkeys(names))
    state = state_of(places.ledger.read())
    _check(state, names)
    if out is None:
        _check_place(places, state, reader.folder)
    if out is None and (step := _unrecorded(reader.manifest, state)) and set(step.requests) == set(names):
        _check_dropped(reader, step, _rows_of(places, state, names))
        return reader.manifest, None, _enter(places, step, reader.manifest, reader.folder)
    if reader.manifest.digest != state.data:
        raise ConfigError(f"{shown(reader.folder)} {another_version(reader.manifest, state)}.")
    chosen = select_training_rows(reader, _rows_of(places, state, names).sample_ids)
    manifest = drop_rows(reader, chosen, out, names)
    entry = None if out else _enter(places, manifest.dropped[-1], manifest, reader.folder)
    return manifest, chosen, entry


def _check(state: State, names: Sequence[str]) -> None:
    for name in names:
        if (request := state.request(name)).word != "done":
            why = f" ({request.why})" if request.why else ""
            raise ConfigError(
                f"{name} is {request.word}{why}; only rows of a request that is done can be dropped{_next(request)}."
            )
        if drop := state.dropped_by(name):
            left = [one for one in names if not state.dropped_by(one)]
            if left:
                raise ConfigError(f"{drop.told}; leave {name} out, nothing was dropped of {', '.join(left)}.")
            raise ConfigError(f"nothing is left to drop: {drop.told}.")
    if state.started is not None:
        raise ConfigError(f"{state.started.fields['run']} is under way or was interrupted; finish or cancel it first.")


def _next(request: Request) -> str:
    return f"; `cu requests run {request.id}` answers it" if request.word == "pending" else ""


def _rows_of(places: Places, state: State, names: Sequence[str]) -> ForgetSet:
    rows = union_of([forget_set_of(places, state, name) for name in names])
    assert rows is not None
    if not len(rows.rows):
        told = told_drops(state.drops)
        raise ConfigError(f"nothing is left to drop: every row of {', '.join(names)} is among those: {told}.")
    return rows


def _check_place(places: Places, state: State, folder: Path) -> None:
    """Only the model's own data are rewritten, and only if no other model of the storage needs them as they are."""
    path = state.opened.fields["data"]["path"]
    if shown(folder) != path:
        raise ConfigError(f"{places.model} has its data in {path}, not in {shown(folder)}; name those, or give --out.")
    for model in models_in(places.store):
        other = state_of(Places(places.store, model).ledger.read())
        if model != places.model and other.opened.fields["data"]["path"] == path and other.data == state.data:
            raise ConfigError(
                f"{shown(folder)} also holds the data of the model {model}, which has not forgotten these rows and "
                f"needs them to forget them; write with --out NEW."
            )


def _unrecorded(manifest: Manifest, state: State) -> Dropped | None:
    """The last step of the data, if the ledger knows the version before it but not this one."""
    step = manifest.dropped[-1] if manifest.dropped else None
    return step if step and step.parent == state.data != manifest.digest else None


def _check_dropped(reader: ShardReader, step: Dropped, rows: ForgetSet) -> None:
    """See that a drop that a killed command left is that of the rows."""
    held = any(np.isin(ids, rows.sample_ids).any() for _, ids in reader.scan("train", "sample_id"))
    if held or step.rows != {"train": len(rows.rows)}:
        raise ConfigError(
            f"{shown(reader.folder)}: its manifest says that rows were dropped for {', '.join(step.requests)}, but "
            f"others were; bring the data of before back."
        )


def _enter(places: Places, step: Dropped, manifest: Manifest, folder: Path) -> Entry:
    fields: Mapping[str, Any] = {
        "kind": "dropped",
        "requests": list(step.requests),
        "rows": step.rows.get("train", 0),
        "parent": step.parent,
        "digest": manifest.digest,
        "manifest": sha256_of(folder / MANIFEST),
    }

    def make(entries: Sequence[Entry]) -> Mapping[str, Any]:
        if state_of(entries).data != step.parent:
            raise ConfigError(f"{shown(folder)}: another command entered a drop meanwhile; nothing is entered twice.")
        return fields

    entry = places.ledger.append(make)
    assert entry is not None
    return entry
