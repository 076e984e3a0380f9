"""``cu requests add``: a request is resolved, told, and entered; nothing is unlearned yet."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cu_core.config import RunConfig
from cu_core.data.id_lists import as_stored
from cu_core.data.requests import ByIds, ForgetSet, named_ids, resolve_request, save_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError, DamagedFile, DataError, NotInTraining, UserError
from cu_core.messages import shown_value
from cu_core.storage import fetched
from pipelines.console import counted
from pipelines.requests.asked import Asked, fingerprint, forget_set_of, keep_asked, union_of, without
from pipelines.requests.data_versions import open_data, told_drops
from pipelines.requests.ledger import Entry, sha256_hex
from pipelines.requests.opened import config_for, written_settings
from pipelines.requests.places import Places
from pipelines.requests.salted import ROW, Salt, read_salt
from pipelines.requests.spoken import spoken, spoken_notes, spoken_request
from pipelines.requests.state import State, state_of
from pipelines.requests.unentered import sweep_unentered, told_unentered
from pipelines.run.lock import at_work

LONGEST_REASON = 2000


@dataclass(frozen=True)
class Received:
    """A request that was entered, and what is said of it."""

    entry: Entry
    lines: tuple[str, ...]

    @property
    def id(self) -> str:
        return str(self.entry.fields["request"])


def add_request(places: Places, request: Mapping[str, Any], reason: str = "", due: str | None = None) -> Received:
    """Resolve a request on the model's data and enter it.

    Raises: UserError for a request that cannot be answered, before anything is written.
    """
    if len(reason) > LONGEST_REASON:
        raise ConfigError(f"--reason has {len(reason)} characters; it may have {LONGEST_REASON}.")
    due = _date(due)
    left = told_unentered(sweep_unentered(places), "its files are deleted")
    state = state_of(places.ledger.read())
    config, reader, forget = _resolved(places, request, state)
    missing = _not_found(config, reader, forget)
    config.method.check(forget.kind)
    save_forget_set(config.store / "requests", forget)
    salt = read_salt(places.salt)
    asked = Asked(spoken_request(asdict(config.request), places), reason, forget.digest, (*forget.notes, *missing))
    hashes = sorted([*salt.of_ids(ROW, forget.sample_ids.tolist()), *_of_column(config, reader, forget, salt)])
    token = keep_asked(places, asked, hashes)
    fixed = {
        "kind": "received",
        "token": token,
        "what": forget.kind,
        "column": getattr(config.request, "column", None),
        "rows": len(forget.rows),
        "asked": fingerprint(salt, asked),
        "forget": salt.of(f"forget:{forget.digest}"),
        "hashes": _digest(hashes),
        "due": due,
    }

    def make(entries: Sequence[Entry]) -> Mapping[str, Any]:
        now = state_of(entries)
        if now.data != state.data:
            raise ConfigError(f"{config.data.path}: rows were dropped meanwhile; enter the request again.")
        new, by = _overlap(places, now, forget)
        name = f"{places.model}-{len(now.requests) + 1}"
        return {**fixed, "request": name, "new_rows": new, "answered_by": [] if new else by}

    entry = places.ledger.append(make)
    assert entry is not None
    told = _told(places, state_of(places.ledger.read()), entry, config, reader, forget)
    return Received(entry, (*told, *left, *_overdue(due)))


def _resolved(places: Places, request: Mapping[str, Any], state: State) -> tuple[RunConfig, ShardReader, ForgetSet]:
    values = written_settings(places, state)
    try:
        config = config_for(values, request)
        reader = open_data(config, state)
        forget = resolve_request(config.request, reader, config.model.reads_captions)
    except (DataError, DamagedFile):
        raise
    except UserError as error:
        said = spoken(str(error), places, request)
        if isinstance(error, NotInTraining) and state.drops:
            said += (
                f" (Rows that are in the data no more: {told_drops(state.drops)}; `cu requests show ID --contains "
                f"VALUE` says whether an id is among them.)"
            )
        raise ConfigError(said) from error
    return config, reader, replace(forget, notes=spoken_notes(forget.notes, places, request))


def _date(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ConfigError(f"--due: must be a date such as 2027-01-31, got {shown_value(text)}.") from error


def _overdue(due: str | None) -> list[str]:
    if not due or due >= datetime.date.today().isoformat():
        return []
    return [f"due {due} is a day that is past: the request is overdue; if the date is wrong, cancel it"]


def _digest(hashes: Sequence[str]) -> str:
    return sha256_hex("".join(f"{one}\n" for one in hashes).encode())


def _of_column(config: RunConfig, reader: ShardReader, forget: ForgetSet, salt: Salt) -> list[str]:
    """Keyed hashes of the values that a request by another column names."""
    if not isinstance(config.request, ByIds) or config.request.column is None:
        return []
    column = reader.column(reader.manifest.column(config.request.column), forget.rows)
    return salt.of_ids(config.request.column, pc.unique(column).to_pylist())


def _not_found(config: RunConfig, reader: ShardReader, forget: ForgetSet) -> list[str]:
    """All ids of a list that are not in the training split, as a note; the others are taken."""
    if not isinstance(config.request, ByIds) or config.request.missing != "note":
        return []
    own, wanted = named_ids(config.request, reader, [])
    found = as_stored(pa.chunked_array([reader.column(own, forget.rows)]), wanted.type, config.request.path)
    missing = pc.filter(wanted.unique(), pc.invert(pc.is_in(wanted.unique(), value_set=found))).to_pylist()
    return [f"not in the training split: {', '.join(map(str, missing))}"] if missing else []


def _overlap(places: Places, state: State, forget: ForgetSet) -> tuple[int, list[str]]:
    """How many of the rows the current version has not forgotten, and which requests forgot the others."""
    new, by = forget, []
    for name in state.forgotten:
        rest = without(new, forget_set_of(places, state, name))
        if len(rest.rows) < len(new.rows):
            by.append(name)
        new = rest
    return len(new.rows), by


def _told(
    places: Places, state: State, entry: Entry, config: RunConfig, reader: ShardReader, forget: ForgetSet
) -> list[str]:
    names = reader.manifest.class_names
    lines = [f"{len(forget.rows)} of {reader.num_rows('train')} training rows: {_by_class(reader, forget, names)}"]
    lines += forget.notes
    new, by = _overlap(places, state, forget)
    if by:
        lines.append(f"{len(forget.rows) - new} of these rows are forgotten already, by {', '.join(by)}")
    if not new:
        return [*lines, "nothing is left to forget: the request is covered; its proof are the certificates of those"]
    waiting = [forget_set_of(places, state, one) for one in state.pending if one != entry.fields["request"]]
    asked_before = union_of(waiting)
    if asked_before is not None and (again := len(forget.rows) - len(without(forget, asked_before).rows)):
        lines.append(f"{again} of these rows are also in pending requests; a batch takes them once")
    return [*lines, _cost(places, state, config, reader.num_rows("train"), new)]


def _by_class(reader: ShardReader, forget: ForgetSet, names: Sequence[str]) -> str:
    counts = np.bincount(reader.labels("train", forget.rows), minlength=len(names))
    found = [f"{count} of class {names[number]}" for number, count in enumerate(counts) if count]
    more = f" and {len(found) - 8} more classes" if len(found) > 8 else ""
    return ", ".join(found[:8]) + more


def _cost(places: Places, state: State, config: RunConfig, total: int, new: int) -> str:
    step = min(config.batches.forget_batch, new) + config.batches.retain_batch
    said = f"cost: at most {counted(config.stop.max_steps, 'step')} of {step} rows"
    epochs = f"{config.train.epochs:g} epoch{'' if config.train.epochs == 1 else 's'}"
    if config.weights_file is None and not fetched(places.store / state.opened.fields["original"] / "meta.json"):
        said += f"; before that the original, which is not there, is trained over {epochs} of {total} rows"
    if oracles := config.audit.oracles:
        said += f"; the audit trains {counted(oracles, 'oracle')} over {epochs} of about {total - new} rows"
    return said


def cancel_request(places: Places, name: str) -> Entry:
    """Raises: ConfigError for a request that is answered, cancelled, or at work."""

    def make(entries: Sequence[Entry]) -> Mapping[str, Any]:
        state = state_of(entries)
        request = state.request(name)
        if request.word not in ("pending", "running"):
            hint = "; `cu requests roll-back` takes the last version back" if request.word == "done" else ""
            raise ConfigError(f"{name} is {request.word} and cannot be cancelled{hint}.")
        if state.started and request.word == "running":
            run = places.run(state.started.fields["run"])
            if who := at_work(run):
                raise ConfigError(f"{name} is being answered ({who}); end that run first.")
        return {"kind": "cancelled", "request": name}

    entry = places.ledger.append(make)
    assert entry is not None
    return entry
