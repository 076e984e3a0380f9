"""The ledger of a model: entries in files, each with the hash of the one before."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cu_core.errors import ConfigError, DamagedFile
from cu_core.storage import fetch, names
from pipelines.requests.exclusive import create

FIRST = "0" * 64
"""Hash before the first entry."""
NAME = re.compile(r"(\d{8})\.json")
MOST_TRIES = 1000
Make = Callable[[Sequence["Entry"]], Mapping[str, Any] | None]


def canonical(value: object) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Entry:
    """One entry; ``fields`` are those of its kind."""

    number: int
    kind: str
    time: str
    fields: Mapping[str, Any]
    hash: str


@dataclass
class Ledger:
    """``storage/ledgers/MODEL``."""

    folder: Path
    known: list[Entry] = field(default_factory=list)
    """Entries that were read; they never change."""

    @property
    def model(self) -> str:
        return self.folder.name

    def read(self) -> list[Entry]:
        """All entries.

        Raises: DamagedFile if one is missing or does not follow from the one before.
        """
        for number in range(len(self.known) + 1, self.last() + 1):
            self.known.append(self._follow(number, self.path(number), self.known[-1].hash if self.known else FIRST))
        return list(self.known)

    def append(self, make: Make) -> Entry | None:
        """Append the entry that ``make`` returns (its ``kind`` and fields) for the entries so far; ``None``: none.

        If another writer appends meanwhile, ``make`` is called again.
        """
        for _ in range(MOST_TRIES):
            entries = self.read()
            fields = make(entries)
            if fields is None:
                return None
            content = canonical(
                {
                    **fields,
                    "entry": len(entries) + 1,
                    "model": self.model,
                    "previous": entries[-1].hash if entries else FIRST,
                    "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                }
            )
            try:
                create(self.path(len(entries) + 1), content)
            except FileExistsError:
                continue
            return self.read()[len(entries)]
        raise ConfigError(f"{self.folder}: {MOST_TRIES} times another writer was first; try again.")

    def path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.json"

    def problems(self) -> list[str]:
        """What is wrong with the chain; every entry is read anew."""
        found: list[str] = []
        expected: str | None = FIRST
        before = 0
        for number in self._numbers():
            if number > before + 2:
                found.append(f"ledger entries {before + 1} to {number - 1} of {self.model} are missing ({self.folder})")
            elif number == before + 2:
                found.append(str(self._missing(number - 1)))
            expected, before = expected if number == before + 1 else None, number
            fetch(self.path(number), anew=True)
            try:
                expected = self._follow(number, self.path(number), expected).hash
            except _Broken as error:
                found.append(str(error))
                expected = error.hash
        return found

    def last(self) -> int:
        """Number of the last entry; 0: there is none."""
        return max(self._numbers(), default=0)

    def _numbers(self) -> list[int]:
        """Numbers of the entries that are there."""
        return sorted(int(found[1]) for name in names(self.folder) if (found := NAME.fullmatch(name)))

    def _missing(self, number: int) -> _Broken:
        return _Broken(f"ledger entry {number} of {self.model} is missing ({self.path(number)})", None)

    def _follow(self, number: int, path: Path, previous: str | None) -> Entry:
        """Read an entry that must follow one of hash ``previous``; ``None``: that one is not known."""
        fetch(path)
        if not path.is_file():
            raise self._missing(number)
        content = path.read_bytes()
        own = sha256_hex(content)
        try:
            fields = json.loads(content)
            whole = isinstance(fields, dict) and canonical(fields) == content
        except ValueError:
            whole = False
        if not whole or not {"entry", "kind", "model", "previous", "time"} <= fields.keys():
            raise _Broken(f"ledger entry {number} of {self.model} is damaged: it is no canonical entry ({path})", own)
        if fields["entry"] != number or fields["model"] != self.model:
            said = f"it says it is entry {fields['entry']} of {fields['model']}"
            raise _Broken(f"ledger entry {number} of {self.model} is not in its place: {said}", own)
        if previous is not None and fields["previous"] != previous:
            raise _Broken(
                f"ledger entry {number - 1} of {self.model} was changed, or entry {number} was: entry {number} "
                f"records the hash {fields['previous'][:16]}, entry {number - 1} has {previous[:16]}"
                if number > 1
                else f"ledger entry 1 of {self.model} was changed: nothing comes before it",
                own,
            )
        rest = {k: v for k, v in fields.items() if k not in ("entry", "kind", "model", "previous", "time")}
        return Entry(number, fields["kind"], fields["time"], rest, own)


class _Broken(DamagedFile):
    """An entry that does not follow; ``hash`` is its own, if there is one."""

    def __init__(self, message: str, own: str | None):
        super().__init__(message)
        self.hash = own
