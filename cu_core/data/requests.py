"""Forget requests: what a user asks to be forgotten, resolved to training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Discriminator

from cu_core.bounds import ClassNumber, Inside, RowCount, Seed
from cu_core.data.class_names import class_numbers
from cu_core.data.concepts import ByConcept, resolve_concept
from cu_core.data.id_lists import as_stored, is_in, read_ids, repeated
from cu_core.data.order import EpochOrder, Rows
from cu_core.data.predicate import parse_predicate, without_value
from cu_core.data.sample_ids import OWN_ID
from cu_core.data.schema import Manifest
from cu_core.data.selections import ByNeighbours, ByScore, resolve_neighbours, resolve_score
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import DataError, UserError
from cu_core.files import atomic_folder, digest_of, for_owner
from cu_core.messages import shown_some, shown_value
from cu_core.storage import fetch, fetched, named_file
from cu_core.stored import damaged
from cu_core.types import RequestKind


@dataclass(frozen=True, kw_only=True)
class ByClass:
    """Every training row of some classes."""

    kind: Literal["by_class"] = "by_class"
    classes: tuple[ClassNumber | str, ...] = (0,)
    """Class numbers (their order in the manifest, from 0), or names in quotes."""

    def __post_init__(self) -> None:
        if not self.classes:
            raise UserError("classes must name at least one class")


@dataclass(frozen=True, kw_only=True)
class ByRandom:
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
class ByIds:
    """Training rows named by their ids."""

    kind: Literal["by_id"] = "by_id"
    path: str
    """List of ids: text, or CSV, JSON lines or Parquet with a column ``sample_id`` or ``id``."""
    column: str | None = None
    """Column of the ids, in the file and in the data, e.g. a user's number that many rows have; ``null``: the ids of
    the rows."""


@dataclass(frozen=True, kw_only=True)
class ByPredicate:
    """Training rows for which a column expression holds."""

    kind: Literal["by_predicate"] = "by_predicate"
    where: str
    """E.g. ``user_id == 17 and source != 'licensed'``, ``source like 'web%'``, ``user_id is null``."""


ForgetRequest = Annotated[
    ByClass | ByRandom | ByIds | ByPredicate | ByScore | ByNeighbours | ByConcept, Discriminator("kind")
]


Resolved = tuple[Rows, tuple[str, ...]]
"""Rows, and lines that the run prints."""


@dataclass(frozen=True)
class ForgetSet:
    """A resolved request: the rows to forget, sorted."""

    kind: RequestKind
    classes: tuple[int, ...]
    """Classes of a class request; empty for samples."""
    rows: Rows
    """Rows of the train split, ascending."""
    sample_ids: Rows
    """Their ids, in the order of ``rows``."""
    data_digest: str
    notes: tuple[str, ...] = ()
    """What whoever asks must know of how the rows were found; not kept in files."""

    def __repr__(self) -> str:
        return f"ForgetSet(kind={self.kind!r}, classes={self.classes}, {len(self.rows)} rows, digest={self.digest!r})"

    @property
    def digest(self) -> str:
        """Hash of kind, classes, sample_ids and data."""
        return digest_of([self.kind, self.classes, sorted(self.sample_ids.tolist()), self.data_digest])


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


def _by_ids(request: ByIds, reader: ShardReader) -> Resolved:
    own = _id_column(request, reader)
    headers = [request.column] if request.column else list(dict.fromkeys(["sample_id", own, "id"]))
    ids = read_ids(named_file(request.path), headers)
    wanted = as_stored(ids, reader.schema.field(own).type, request.path)
    rows = reader.rows_where(is_in(own, reader.schema.field(own).type, wanted))
    found = as_stored(pa.chunked_array([reader.column(own, rows)]), wanted.type, request.path)
    missing = pc.filter(wanted.unique(), pc.invert(pc.is_in(wanted.unique(), value_set=found)))
    if len(missing):
        shown = shown_some(missing.to_pylist())
        counted = f"{len(missing)} of {len(wanted.unique())} ids are not in the training split"
        held = _elsewhere(reader, own, missing, request.path)
        raise UserError(
            f"{request.path}: {counted}, e.g. {shown}. {held} Take out of the list what the model was not trained on."
        )
    if request.column is None and (twice := repeated(found)):
        counts = found.value_counts()
        shown = shown_some([c["values"].as_py() for c in counts if c["counts"].as_py() > 1])
        raise UserError(f"{request.path}: {twice} ids are found twice in the training split: {shown}; mend the data.")
    again = repeated(wanted)
    return rows, ((f"{again} ids of {request.path} stand there before: each is taken once",) if again else ())


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


def _by_predicate(request: ByPredicate, reader: ShardReader) -> Resolved:
    manifest = reader.manifest
    names = [manifest.column("sample_id"), manifest.column("label"), *manifest.extra_columns]
    predicate = parse_predicate(request.where, pa.schema([reader.schema.field(name) for name in names]))
    try:
        rows = reader.rows_where(predicate.expression)
        absent = [(name, len(reader.rows_where(left))) for name, left in without_value(predicate)]
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:  # columns of types that cannot be compared
        reason = str(error).splitlines()[0][:200]
        where = shown_value(request.where)
        raise UserError(f"request.where: {where} does not fit the columns: {reason}.") from error
    notes = [f"{count} rows have no {name}: not matched" for name, count in absent]
    if not len(rows):
        raise UserError(
            f"the request forgets nothing: no training row matches {shown_value(request.where)}; "
            + "; ".join(notes)
            + "."
        )
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
        raise UserError(f"the request forgets nothing: none of {total} training rows matches {str(request)[:300]}.")
    if len(rows) == total:
        raise UserError(f"the request forgets all {total} training rows; nothing would be left to retain.")
    classes = _classes(request, rows, reader, pairs)
    ids = reader.sample_ids("train", rows)
    return ForgetSet("class" if classes else "sample", classes, rows, ids, reader.manifest.digest, notes)


def _classes(request: ForgetRequest, rows: Rows, reader: ShardReader, pairs: bool) -> tuple[int, ...]:
    if isinstance(request, ByClass):
        return _numbers(request, reader.manifest)
    if not pairs or not isinstance(request, ByConcept) or reader.manifest.num_classes < 2:
        return ()
    found = np.unique(reader.labels("train", rows))
    whole = reader.integers_in("label", found)
    return tuple(int(c) for c in found) if len(whole) == len(rows) else ()


def save_forget_set(folder: Path, forget: ForgetSet) -> Path:
    """Write ``folder/<digest>/forget.arrow`` unless it exists, and return the file."""
    target = folder / forget.digest
    if not fetched(target / "forget.arrow"):
        meta = {
            "kind": forget.kind,
            "classes": ",".join(map(str, forget.classes)),
            "data": forget.data_digest,
            "digest": forget.digest,
        }
        table = pa.table({"sample_id": forget.sample_ids, "row": forget.rows}).replace_schema_metadata(meta)
        with (
            atomic_folder(target) as partial,
            pa.ipc.new_file(str(for_owner(partial / "forget.arrow")), table.schema) as out,
        ):
            out.write_table(table)
    return target / "forget.arrow"


def load_forget_set(path: Path, data_digest: str) -> ForgetSet:
    """Read a saved forget set.

    Args:
        path: The file that ``save_forget_set`` wrote.
        data_digest: Digest of the data set in use.

    Returns:
        The forget set.

    Raises:
        DataError: The file is damaged, or the request was resolved on other data.
    """
    fetch(path)
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        classes = tuple(int(c) for c in meta["classes"].split(",") if c)
        kind: RequestKind = "class" if meta["kind"] == "class" else "sample"
        forget = ForgetSet(kind, classes, table["row"].to_numpy(), table["sample_id"].to_numpy(), meta["data"])
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise damaged(path, error, f"delete {path.parent}, and the request is resolved again") from error
    if forget.data_digest != data_digest or forget.digest != meta["digest"]:
        raise DataError(f"{path} was resolved on other data or is damaged; resolve the request again.")
    return forget
