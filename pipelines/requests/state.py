"""What the entries of a ledger say about requests, versions and the run that is under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cu_core.errors import ConfigError
from cu_core.messages import shown_value
from pipelines.requests.ledger import Entry

Word = Literal["pending", "running", "done", "cancelled", "covered"]
"""``done``: a run forgot its rows; ``covered``: other requests had forgotten all (an entry calls that answered)."""


@dataclass(frozen=True)
class Request:
    """One request."""

    id: str
    received: Entry
    word: Word = "pending"
    why: str = ""
    by: tuple[str, ...] = ()
    """Requests that forgot every row of this one before."""
    completed: Entry | None = None
    """The last entry of a batch that held it."""


@dataclass(frozen=True)
class Version:
    """A version of the model that a batch of requests made."""

    entry: Entry
    requests: tuple[str, ...]
    """All requests that it has forgotten, those of earlier versions first."""

    @property
    def folder(self) -> str:
        return str(self.entry.fields["result"]["folder"])

    @property
    def weights(self) -> str:
        return str(self.entry.fields["result"]["weights"])


@dataclass(frozen=True)
class Drop:
    """Forgotten rows that were taken out of the data."""

    entry: Entry

    @property
    def requests(self) -> tuple[str, ...]:
        """All of whose rows went."""
        return tuple(self.entry.fields["requests"])

    @property
    def told(self) -> str:
        """In words."""
        fields = self.entry.fields
        return (
            f"{fields['rows']} training rows of {', '.join(self.requests)} were dropped on purpose in entry "
            f"{self.entry.number} ({self.entry.time[:10]})"
        )


@dataclass
class State:
    """All of a model's ledger."""

    opened: Entry
    requests: dict[str, Request] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)
    """The lineage, the current one last; empty: the original is current."""
    started: Entry | None = None
    """The run that is under way, or was interrupted."""
    ever: tuple[str, ...] = ()
    """Requests that any version has forgotten, one that was rolled back too."""
    drops: list[Drop] = field(default_factory=list)
    """Versions of the data after the first one, the oldest first."""
    last: int = 1
    """Number of the last entry."""

    def data_at(self, number: int) -> str:
        """Digest of the data after an entry."""
        digests = [d.entry.fields["digest"] for d in self.drops if d.entry.number <= number]
        return str(digests[-1] if digests else self.opened.fields["data"]["digest"])

    @property
    def data(self) -> str:
        """Digest of the data as they are now."""
        return self.data_at(self.last)

    def dropped_by(self, name: str) -> Drop | None:
        """What took the rows of a request out of the data."""
        return next((drop for drop in self.drops if name in drop.requests), None)

    @property
    def pending(self) -> list[str]:
        return [r.id for r in self.requests.values() if r.word == "pending"]

    @property
    def forgotten(self) -> tuple[str, ...]:
        """Requests that the current version has forgotten."""
        return self.versions[-1].requests if self.versions else ()

    @property
    def lost_without_last(self) -> list[str]:
        """Requests that are pending again if the current version goes: its own, and those that relied on them."""
        gone = set(self.versions[-1].entry.fields["requests"])
        return [r.id for r in self.requests.values() if r.id in gone or (r.word == "covered" and gone & set(r.by))]

    def request(self, name: str) -> Request:
        """Raises: ConfigError if there is none of that name."""
        if name not in self.requests:
            known = f"the last one is {list(self.requests)[-1]}" if self.requests else "there is none yet"
            raise ConfigError(f"no request {shown_value(name)}: {known}; `cu requests list` shows all.")
        return self.requests[name]

    def _set(self, names: Sequence[str], word: Word, why: str = "", **values: Any) -> None:
        for name in names:
            self.requests[name] = replace(self.requests[name], word=word, why=why, **values)

    def received(self, entry: Entry) -> None:
        by = entry.fields["answered_by"]
        name = entry.fields["request"]
        self.requests[name] = Request(name, entry)
        if by:
            self._set([name], "covered", _answered(by), by=tuple(by))

    def cancelled(self, entry: Entry) -> None:
        name = entry.fields["request"]
        if self.started and name in self.started.fields["requests"]:  # the batch is given up, the others wait again
            self._set(self.started.fields["requests"], "pending")
            self.started = None
        self._set([name], "cancelled")

    def answered(self, entry: Entry) -> None:
        for name, by in entry.fields["answered_by"].items():
            self._set([name], "covered", _answered(by), by=tuple(by))

    def begun(self, entry: Entry) -> None:
        self.started = entry
        self._set(entry.fields["requests"], "running", f"run {entry.fields['run']}")

    def completed(self, entry: Entry) -> None:
        batch = tuple(entry.fields["requests"])
        self.versions.append(Version(entry, (*self.forgotten, *batch)))
        self.ever = tuple(dict.fromkeys([*self.ever, *batch]))
        self._set(batch, "done", f"version of entry {entry.number}", completed=entry)
        self.started = None

    def dropped(self, entry: Entry) -> None:
        self.drops.append(Drop(entry))

    def rolled_back(self, entry: Entry) -> None:
        again = self.lost_without_last
        self.versions.pop()
        self._set(again, "pending", f"rolled back in entry {entry.number}", by=(), completed=None)


def _answered(by: Sequence[str]) -> str:
    return f"every row was forgotten by {', '.join(by)}" if by else ""


def state_of(entries: Sequence[Entry]) -> State:
    """Raises: ConfigError if the ledger was never opened."""
    if not entries or entries[0].kind != "opened":
        raise ConfigError("this model's ledger has no first entry; open it with `cu requests open MODEL CONFIG`.")
    state = State(entries[0])
    act = {
        "received": state.received,
        "cancelled": state.cancelled,
        "answered": state.answered,
        "started": state.begun,
        "completed": state.completed,
        "rolled_back": state.rolled_back,
        "dropped": state.dropped,
    }
    state.last = len(entries)
    for entry in entries[1:]:
        if entry.kind in act:  # others, such as `purged`, change no state
            act[entry.kind](entry)
    return state
