"""Number of rows and a hash of each set of a run, by which two runs can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cu_core.data.forget_split import ForgetSplit
from cu_core.data.order import Rows
from cu_core.data.shard_reader import ShardReader
from cu_core.storage import address

ROWS_AT_ONCE = 2**20


@dataclass(frozen=True)
class SetHash:
    """One set."""

    rows: int
    hash: str | None
    """First 16 digits of the SHA-256 of the sorted sample_ids, 8 bytes each, little-endian. Absent for retain rows of
    data at an address, whose shards would all have to be fetched."""

    @property
    def told(self) -> str:
        """The set as a run prints it."""
        return f"{self.rows} rows" + (f" {self.hash}" if self.hash else "")


def hash_of(ids: Rows) -> str:
    """Return the hash of some sample_ids, whatever their order."""
    return hashlib.sha256(np.sort(ids).astype("<i8").tobytes()).hexdigest()[:16]


def set_hashes(split: ForgetSplit) -> Mapping[str, SetHash]:
    """Compute rows and hash of what is forgotten, retained, used to stop, held out and reported.

    Args:
        split: The sets of a run.

    Returns:
        Name of the set -> its rows and hash.
    """
    reader = split.reader
    parts = {
        "stop": (split.stop_forget, split.stop_retain),
        "holdout": (split.holdout,),
        "test": (split.forget_test, split.retain_test),
    }
    ids = {
        name: np.concatenate([reader.sample_ids(one.split, one.rows) for one in sets]) for name, sets in parts.items()
    }
    retain = None if address(reader.folder) else hash_of(np.concatenate([*_retain_ids(split, reader)]))
    return {
        "forget": SetHash(len(split.forget.rows), hash_of(split.forget.sample_ids)),
        "retain": SetHash(split.num_retain, retain),
        **{name: SetHash(len(found), hash_of(found)) for name, found in ids.items()},
    }


def _retain_ids(split: ForgetSplit, reader: ShardReader) -> Iterator[Rows]:
    yield np.empty(0, np.int64)
    for start in range(0, split.num_retain, ROWS_AT_ONCE):
        ordinals = np.arange(start, min(start + ROWS_AT_ONCE, split.num_retain))
        yield reader.sample_ids("train", split.retain_rows(ordinals))


def told_sets(hashes: Mapping[str, SetHash]) -> str:
    """Return the sets in one line, as a run prints them."""
    return "sets: " + ", ".join(f"{name} {one.told}" for name, one in hashes.items())
