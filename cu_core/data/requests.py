"""Forget requests: what a user asks to be forgotten, resolved to training rows."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pydantic import Discriminator

from cu_core.data.concepts import ByConcept, resolve_concept
from cu_core.data.order import EpochOrder, Rows
from cu_core.data.predicate import parse_predicate
from cu_core.data.schema import Manifest
from cu_core.data.selections import ByNeighbours, ByScore, resolve_neighbours, resolve_score
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import DataError, UserError
from cu_core.files import atomic_folder, digest_of, for_owner
from cu_core.storage import fetch, fetched, named_file
from cu_core.stored import damaged
from cu_core.types import RequestKind


@dataclass(frozen=True, kw_only=True)
class ByClass:
    """Every training row of some classes."""

    kind: Literal["by_class"] = "by_class"
    classes: tuple[int | str, ...] = (0,)
    """Class numbers (their order in the manifest, from 0), or names in quotes."""


@dataclass(frozen=True, kw_only=True)
class ByRandom:
    """Training rows drawn at random."""

    kind: Literal["by_random"] = "by_random"
    count: int | None = None
    """How many rows; give this or ``frac``."""
    frac: float | None = None
    """Share of the training rows, in (0, 1)."""
    seed: int = 0
    """Seed of the drawing."""

    def __post_init__(self) -> None:
        if (self.count is None) == (self.frac is None):
            raise UserError("give exactly one of count and frac")
        if self.frac is not None and not 0 < self.frac < 1:
            raise UserError(f"frac must lie in (0, 1), got {self.frac}")


@dataclass(frozen=True, kw_only=True)
class ByIds:
    """Training rows named by sample_id."""

    kind: Literal["by_id"] = "by_id"
    path: str
    """Text file (an id a line), CSV or Parquet file with a column ``sample_id``."""


@dataclass(frozen=True, kw_only=True)
class ByPredicate:
    """Training rows for which a column expression holds."""

    kind: Literal["by_predicate"] = "by_predicate"
    where: str
    """E.g. ``user_id == 17 and source != 'licensed'``."""


ForgetRequest = Annotated[
    ByClass | ByRandom | ByIds | ByPredicate | ByScore | ByNeighbours | ByConcept, Discriminator("kind")
]


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

    @property
    def digest(self) -> str:
        """Hash of kind, classes, sample_ids and data."""
        return digest_of([self.kind, self.classes, sorted(self.sample_ids.tolist()), self.data_digest])


def _by_class(request: ByClass, reader: ShardReader) -> Rows:
    return reader.integers_in("label", _numbers(request, reader.manifest))


def _numbers(request: ByClass, manifest: Manifest) -> tuple[int, ...]:
    """Return the class numbers, each once, ascending.

    Raises:
        UserError: No class has a number or name, or two classes have the name.
    """
    names, found = list(manifest.class_names), set()
    for given in request.classes:
        if isinstance(given, str) and names.count(given) > 1:
            raise UserError(f"request.classes: {names.count(given)} classes are called {given!r}; give their numbers.")
        if given not in (range(len(names)) if isinstance(given, int) else names):
            near = difflib.get_close_matches(str(given), names, 1)
            there = ", ".join(f"{i} {n}" for i, n in enumerate(names[:20])) + (", ..." if len(names) > 20 else "")
            hint = f"did you mean {near[0]!r}? " if near and isinstance(given, str) else ""
            raise UserError(f"request.classes: class {given} does not exist; {hint}classes: {there}.")
        found.add(given if isinstance(given, int) else names.index(given))
    return tuple(sorted(found))


def _by_random(request: ByRandom, reader: ShardReader) -> Rows:
    total = reader.num_rows("train")
    count = request.count if request.count is not None else round(total * (request.frac or 0))
    if not 0 < count < total:
        raise UserError(f"request.count must lie between 1 and {total - 1} ({total} training rows), got {count}.")
    return np.sort(EpochOrder(total, request.seed).at(0, count))


def read_ids(path: Path) -> Rows:
    """Read the ids of a text, CSV or Parquet file.

    Raises:
        UserError: The file does not exist or holds no integer ids.
    """
    if not path.is_file():
        raise UserError(f"request.path: no file {path}.")
    try:
        if path.suffix == ".parquet":
            ids = pq.read_table(path, columns=["sample_id"])["sample_id"]
        elif path.suffix == ".csv":
            ids = pyarrow.csv.read_csv(path)["sample_id"]
        else:
            ids = pa.chunked_array([pa.array([int(line) for line in path.read_text().split()], pa.int64())])
        return ids.cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path} must hold integer ids, one a line, or a column sample_id: {error}.") from error


def _by_ids(request: ByIds, reader: ShardReader) -> Rows:
    ids = np.unique(read_ids(named_file(request.path)))
    rows = reader.integers_in("sample_id", ids)
    if len(rows) < len(ids):
        missing = np.setdiff1d(ids, reader.sample_ids("train", rows))
        shown = ", ".join(map(str, missing[:5]))
        raise UserError(
            f"{request.path}: {len(missing)} of {len(ids)} ids are not in the training split, e.g. {shown}."
        )
    return rows


def _by_predicate(request: ByPredicate, reader: ShardReader) -> Rows:
    manifest = reader.manifest
    names = [manifest.column("sample_id"), manifest.column("label"), *manifest.extra_columns]
    expression = parse_predicate(request.where, names)
    try:
        return reader.rows_where(expression)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:  # a column compared with a value of another type
        raise UserError(f"request.where: {request.where!r} does not fit the columns: {error}.") from error


RESOLVERS: dict[str, Callable[[Any, ShardReader], Rows]] = {
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
    rows = RESOLVERS[request.kind](request, reader)
    total = reader.num_rows("train")
    if len(rows) == 0:
        raise UserError(f"the request forgets nothing: none of {total} training rows matches {request}.")
    if len(rows) == total:
        raise UserError(f"the request forgets all {total} training rows; nothing would be left to retain.")
    classes = _classes(request, rows, reader, pairs)
    ids = reader.sample_ids("train", rows)
    return ForgetSet("class" if classes else "sample", classes, rows, ids, reader.manifest.digest)


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
