"""Rows of all splits that a list of ids or an expression names: what is taken out of a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cu_core.data.id_lists import is_in
from cu_core.data.order import Rows
from cu_core.data.predicate import without_value
from cu_core.data.ranges import may_hold
from cu_core.data.requests import ByIds, named_ids, predicate_of
from cu_core.data.schema import Split
from cu_core.data.shard_reader import ROW, ShardReader
from cu_core.errors import UserError
from cu_core.messages import shown_some, shown_value
from cu_core.storage import shown


@dataclass(frozen=True)
class Selection:
    """Rows of all splits that an expression selects."""

    rows: Mapping[str, Sequence[Rows]]
    """Path of a shard -> the rows in each of its record batches; shards that hold none are absent."""
    counts: Mapping[Split, int]
    notes: tuple[str, ...] = ()

    def num_rows(self, shard: str) -> int:
        """Return the number of rows in a shard."""
        return sum(map(len, self.rows[shard]))

    @property
    def total(self) -> int:
        """Number of rows."""
        return sum(self.counts.values())


def select_ids(reader: ShardReader, request: ByIds) -> Selection:
    """Find the rows of a list of ids, in every split.

    Raises:
        UserError: The list cannot be read, or no row has one of the ids.
    """
    notes = list[str]()
    column, wanted = named_ids(request, reader, notes)
    kind = reader.schema.field(column).type
    found = _select(reader, is_in(column, kind, wanted))
    held = _values(reader, column, found).cast(wanted.type)
    missing = pc.filter(wanted.unique(), pc.invert(pc.is_in(wanted.unique(), value_set=held)))
    if not found.total:
        raise UserError(f"{request.path}: none of its {len(wanted.unique())} ids is in {shown(reader.folder)}.")
    notes += (
        []
        if not len(missing)
        else [f"{len(missing)} of {len(wanted.unique())} ids are in no split: {shown_some(missing.to_pylist())}"]
    )
    return replace(found, notes=tuple(notes))


def select_where(reader: ShardReader, where: str) -> Selection:
    """Find the rows for which an expression holds, in every split.

    Raises:
        UserError: It is not understood, or no row matches.
    """
    predicate = predicate_of(where, reader)
    try:
        found = _select(reader, predicate.expression)
        absent = [(name, _select(reader, left).total) for name, left in without_value(predicate)]
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"--where: {shown_value(where)} does not fit the columns: {reason}.") from error
    if not found.total:
        raise UserError(f"--where: no row of {shown(reader.folder)} matches {shown_value(where)}.")
    return replace(found, notes=tuple(f"{count} rows have no {name}: not matched" for name, count in absent if count))


def select_training_rows(reader: ShardReader, sample_ids: Rows) -> Selection:
    """Find the training rows of some ids, as ``ForgetSet.sample_ids`` has them.

    Raises:
        UserError: They are not exactly as many rows.
    """
    column = reader.manifest.column("sample_id")
    found = _select(reader, is_in(column, reader.schema.field(column).type, pa.chunked_array([pa.array(sample_ids)])))
    training = {shard.path for shard in reader.manifest.split_shards("train")}
    rows = {path: inside for path, inside in found.rows.items() if path in training}
    if (count := found.counts.get("train", 0)) != len(sample_ids):
        raise UserError(
            f"{shown(reader.folder)} has {count} training rows with the ids of {len(sample_ids)} forgotten rows: ids "
            f"that stand there twice, or not at all; mend the data."
        )
    return Selection(rows, {"train": count})


def _select(reader: ShardReader, expression: pc.Expression) -> Selection:
    rows: dict[str, list[Rows]] = {}
    counts = Counter[Split]()
    image = reader.manifest.column("image")
    for shard in may_hold(reader.manifest.shards, reader.schema, expression):
        found = []
        for batch in reader.batches(shard):
            columns = {name: batch.column(name) for name in batch.schema.names if name != image}
            numbered = pa.table(columns | {ROW: np.arange(batch.num_rows)})
            found.append(numbered.filter(expression)[ROW].to_numpy())
        if count := sum(map(len, found)):
            rows[shard.path] = found
            counts[shard.split] += count
    return Selection(rows, counts)


def _values(reader: ShardReader, column: str, chosen: Selection) -> pa.ChunkedArray:
    parts = [
        batch.column(column).take(inside)
        for shard in reader.manifest.shards
        if shard.path in chosen.rows
        for batch, inside in zip(reader.batches(shard), chosen.rows[shard.path], strict=True)
    ]
    return pa.chunked_array(parts, reader.schema.field(column).type)
