"""The model's data against the version that its ledger names: rows may be dropped for requests, by an entry each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cu_core.data.schema import Manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError
from pipelines.requests.state import Drop, State

if TYPE_CHECKING:  # importing it takes seconds, and listing requests needs none of it
    from cu_core.config import RunConfig


def open_data(config: RunConfig, state: State) -> ShardReader:
    """The model's data.

    Raises: ConfigError if they are another version than that of the ledger.
    """
    reader = ShardReader(config.data.path)
    if reader.manifest.digest != state.data:
        raise ConfigError(f"{config.data.path} {another_version(reader.manifest, state)}.")
    return reader


def another_version(manifest: Manifest, state: State, number: int | None = None) -> str:
    """What is known of data that are not the version of an entry (absent: the last one), and what to do."""
    number = state.last if number is None else number
    expected, digest = state.data_at(number), manifest.digest
    has = f"has the digest {digest}, not {expected}"
    if later := drops_between(state, number, digest):
        return f"{has}: {told_drops(later)}; only a copy of the data of before, in that place, has them"
    if digest in map(state.data_at, range(1, number)):
        return f"{has}: these are the data of before, although {told_drops(state.drops)}; bring the later version back"
    step = manifest.dropped[-1] if manifest.dropped else None
    if step is None or step.parent != state.data:
        names = "the ledger names" if state.drops else "the model was opened with"
        return (
            f"has the digest {digest}; {names} data of digest {expected}. Bring those data back, or open another model"
        )
    rows = ", ".join(f"{split} {count}" for split, count in step.rows.items())
    by = f"for {', '.join(step.requests)}" if step.requests else "without --request"
    if step.requests and set(step.requests) <= state.requests.keys():
        return (
            f"{has}: rows ({rows}) were dropped {by}, and the command was ended before it entered that; end it with "
            f"`cu data drop` and the same --request"
        )
    return (
        f"{has}: `cu data drop` took rows out ({rows}) {by}, which no entry of this model's ledger records; bring the "
        f"data of before back, or open another model"
    )


def drops_between(state: State, number: int, digest: str) -> list[Drop]:
    """The drops after an entry that lead to the version ``digest``; empty if they do not lead there."""
    later = [drop for drop in state.drops if drop.entry.number > number]
    digests = [drop.entry.fields["digest"] for drop in later]
    return later[: digests.index(digest) + 1] if digest in digests else []


def told_drops(drops: Sequence[Drop]) -> str:
    """Several drops, in words."""
    return "; ".join(drop.told for drop in drops)
