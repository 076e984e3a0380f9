"""Forget requests: what a user asks to be forgotten, resolved to training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Discriminator

from cu_core.bounds import ClassNumber, Inside, RowCount, Seed
from cu_core.data.class_names import class_numbers
from cu_core.data.concepts import ByConcept, resolve_concept
from cu_core.data.copies_setting import CopiesSetting
from cu_core.data.forget_sets import ForgetSet as ForgetSet
from cu_core.data.forget_sets import load_forget_set as load_forget_set
from cu_core.data.forget_sets import save_forget_set as save_forget_set
from cu_core.data.id_lists import as_stored, is_arrow, is_in, read_ids, repeated
from cu_core.data.order import EpochOrder, Rows
from cu_core.data.predicate import Predicate, parse_predicate, without_value
from cu_core.data.request_copies import FoundCopies, copies_of
from cu_core.data.sample_ids import OWN_ID
from cu_core.data.schema import Manifest
from cu_core.data.selections import ByNeighbours, ByScore, resolve_neighbours, resolve_score
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import NotInTraining, UserError
from cu_core.messages import shown_some, shown_value
from cu_core.storage import named_file


@dataclass(frozen=True, kw_only=True)
class ByClass(CopiesSetting):
    """Every training row of some classes."""

    kind: Literal["by_class"] = "by_class"
    classes: tuple[ClassNumber | str, ...] = (0,)
    """Class numbers (their order in the manifest, from 0), or names in quotes."""

    def __post_init__(self) -> None:
        if not self.classes:
            raise UserError("classes must name at least one class")


@dataclass(frozen=True, kw_only=True)
class ByRandom(CopiesSetting):
    """Training rows drawn at random."""

    kind: Literal["by_random"] = "by_random"
    count: RowCount | None = None
    """How many rows; give this or ``frac``."""
    frac: Inside | None = None
    """Share of the training rows, in (0, 1)."""
    seed: Seed = 0
    """Seed of the drawing."""

    def __post_init__(self) -> None:
        if (self.count is None) == (self.frac is None):
            raise UserError("give exactly one of count and frac")
        if self.frac is not None and not 0 < self.frac < 1:
            raise UserError(f"frac must lie in (0, 1), got {self.frac}")


@dataclass(frozen=True, kw_only=True)
class ByIds(CopiesSetting):
    """Training rows named by their ids."""

    kind: Literal["by_id"] = "by_id"
    path: str
    """List of ids: text, or CSV, JSON lines or Parquet with a column ``sample_id`` or ``id``; also the ``forget.arrow``
    of a run."""
    column: str | None = None
    """Column of the ids, in the file and in the data, e.g. a user's number that many rows have; ``null``: the ids of
    the rows."""
    missing: Literal["refuse", "note"] = "refuse"
    """Ids that are not in the training split: refuse the request, or count them and go on with the others."""


@dataclass(frozen=True, kw_only=True)
class ByPredicate(CopiesSetting):
    """Training rows for which a column expression holds."""

    kind: Literal["by_predicate"] = "by_predicate"
    where: str
    """E.g. ``user_id == 17 and source != 'licensed'``, ``source like 'web%'``, ``user_id is null``."""


ForgetRequest = Annotated[
    ByClass | ByRandom | ByIds | ByPredicate | ByScore | ByNeighbours | ByConcept, Discriminator("kind")
]


Resolved = tuple[Rows, tuple[str, ...]]
"""Rows, and lines that the run prints."""


def _by_class(request: ByClass, reader: ShardReader) -> Rows:
    return reader.integers_in("label", _numbers(request, reader.manifest))


def _numbers(request: ByClass, manifest: Manifest) -> tuple[int, ...]:
    return class_numbers(request.classes, manifest.class_names)


def _by_random(request: ByRandom, reader: ShardReader) -> Rows:
    total = reader.num_rows("train")
    count = request.count if request.count is not None else round(total * (request.frac or 0))
    if not 0 < count < total:
        raise UserError(f"request.count must lie between 1 and {total - 1} ({total} training rows), got {count}.")
    return np.sort(EpochOrder(total, request.seed).at(0, count))


def _elsewhere(reader: ShardReader, column: str, ids: pa.Array, source: str) -> str:
    """Say how many of the ids are held-out rows."""
    held = []
    for split in ("val", "test"):
        shards = reader.manifest.split_shards(split)
        own = [batch.column(column) for shard in shards for batch in reader.batches(shard)]
        kind = reader.schema.field(column).type
        found = pc.is_in(ids, value_set=as_stored(pa.chunked_array(own, kind), ids.type, source))
        held.append(f"{pc.sum(found, min_count=0).as_py()} are in {split}")
    return f"Of those, {' and '.join(held)}, which is held out from training."


def named_ids(request: ByIds, reader: ShardReader, notes: list[str]) -> tuple[str, pa.ChunkedArray]:
    """Return the column of the shards that the ids of a list are compared with, and the ids, of its type.

    Lines of the list that are left out are counted in ``notes``.

    Raises:
        UserError: The list or the column does not exist, or holds other values.
    """
    path = named_file(request.path)
    if request.column is None and is_arrow(path):  # the forget set of a run
        request = replace(request, column="sample_id")
    own = _id_column(request, reader)
    headers = [request.column] if request.column else list(dict.fromkeys(["sample_id", own, "id"]))
    ids = read_ids(path, headers, notes)
    return own, as_stored(ids, reader.schema.field(own).type, request.path)


def _by_ids(request: ByIds, reader: ShardReader) -> Resolved:
    notes = list[str]()
    own, wanted = named_ids(request, reader, notes)
    rows = reader.rows_where(is_in(own, reader.schema.field(own).type, wanted))
    found = as_stored(pa.chunked_array([reader.column(own, rows)]), wanted.type, request.path)
    missing = pc.filter(wanted.unique(), pc.invert(pc.is_in(wanted.unique(), value_set=found)))
    if len(missing):
        shown = shown_some(missing.to_pylist())
        counted = f"{len(missing)} of {len(wanted.unique())} ids are not in the training split"
        held = _elsewhere(reader, own, missing, request.path)
        if request.missing == "refuse":
            raise NotInTraining(
                f"{request.path}: {counted}, e.g. {shown}. {held} Take out of the list what the model was not trained "
                f"on, or set request.missing to note (cu requests add: --missing note)."
            )
        notes.append(f"{request.path}: {counted}: {shown}. {held}")
    if request.column is None and (twice := repeated(found)):
        counts = found.value_counts()
        shown = shown_some([c["values"].as_py() for c in counts if c["counts"].as_py() > 1])
        raise UserError(f"{request.path}: {twice} ids are found twice in the training split: {shown}; mend the data.")
    again = repeated(wanted)
    if again:
        notes.append(f"{again} ids of {request.path} stand there before: each is taken once")
    return rows, tuple(notes)


def _id_column(request: ByIds, reader: ShardReader) -> str:
    """Return the column of the shards that ids are compared with.

    Raises:
        UserError: ``request.column`` is no column.
    """
    manifest = reader.manifest
    names = [manifest.column("sample_id"), *manifest.extra_columns]
    if request.column is None:
        return manifest.columns.get(OWN_ID, names[0])
    if request.column not in names and request.column != "sample_id":
        raise UserError(f"request.column: no column {request.column!r}; columns: {shown_some(names)}.")
    return manifest.column(request.column)


def predicate_of(where: str, reader: ShardReader) -> Predicate:
    """Translate an expression over the columns of the data.

    Raises:
        UserError: It is not understood.
    """
    manifest = reader.manifest
    names = [manifest.column("sample_id"), manifest.column("label"), *manifest.extra_columns]
    return parse_predicate(where, pa.schema([reader.schema.field(name) for name in names]))


def _by_predicate(request: ByPredicate, reader: ShardReader) -> Resolved:
    predicate = predicate_of(request.where, reader)
    try:
        rows = reader.rows_where(predicate.expression)
        absent = [(name, len(reader.rows_where(left))) for name, left in without_value(predicate)]
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:  # columns of types that cannot be compared
        reason = str(error).splitlines()[0][:200]
        where = shown_value(request.where)
        raise UserError(f"request.where: {where} does not fit the columns: {reason}.") from error
    notes = [f"{count} rows have no {name}: not matched" for name, count in absent]
    if not len(rows):
        told = "; ".join([f"no training row matches {shown_value(request.where)}", *notes])
        raise NotInTraining(f"the request forgets nothing: {told}.")
    return rows, tuple(notes)


RESOLVERS: dict[str, Callable[[Any, ShardReader], Rows | Resolved]] = {
    "by_class": _by_class,
    "by_random": _by_random,
    "by_id": _by_ids,
    "by_predicate": _by_predicate,
    "by_score": resolve_score,
    "by_neighbours": resolve_neighbours,
    "by_concept": resolve_concept,
}


def resolve_request(request: ForgetRequest, reader: ShardReader, pairs: bool = False) -> ForgetSet:
    """Find the training rows that a request names.

    Args:
        request: The request.
        reader: The data set.
        pairs: Whether the model is an image-text model. If so, a concept whose rows are whole classes is a class
            request.

    Returns:
        The forget set.

    Raises:
        UserError: The request names something that does not exist, selects no row, or selects every row.
    """
    found = RESOLVERS[request.kind](request, reader)
    rows, notes = found if isinstance(found, tuple) else (found, ())
    total = reader.num_rows("train")
    if len(rows) == 0:
        raise NotInTraining(f"the request forgets nothing: none of {total} training rows matches {str(request)[:300]}.")
    copies = copies_of(reader, rows) if request.duplicates != "ignore" and len(rows) < total else None
    if len(rows) + (len(copies.rows) if copies and request.duplicates == "include" else 0) == total:
        raise UserError(f"the request forgets all {total} training rows; nothing would be left to retain.")
    classes = _classes(request, rows, reader, pairs)
    if copies:
        notes = (*notes, _told(copies, request.duplicates), *copies.notes)
        rows = np.union1d(rows, copies.rows) if request.duplicates == "include" else rows
    ids = reader.sample_ids("train", rows)
    return ForgetSet("class" if classes else "sample", classes, rows, ids, reader.manifest.digest, notes, copies)


def _told(copies: FoundCopies, duplicates: str) -> str:
    if duplicates == "include":
        return f"copies of forget rows that are forgotten too: {copies.told}"
    hint = "; request.duplicates=include forgets them too" if len(copies.rows) else ""
    return f"copies of forget rows that stay in the retain set: {copies.told}{hint}"


def _classes(request: ForgetRequest, rows: Rows, reader: ShardReader, pairs: bool) -> tuple[int, ...]:
    if isinstance(request, ByClass):
        return _numbers(request, reader.manifest)
    if not pairs or not isinstance(request, ByConcept) or reader.manifest.num_classes < 2:
        return ()
    found = np.unique(reader.labels("train", rows))
    whole = reader.integers_in("label", found)
    return tuple(int(c) for c in found) if len(whole) == len(rows) else ()
