"""The first pass over a table: labels, captions and ids of all rows, with everything that is wrong in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cu_core.data.arrow_types import is_text, is_texts
from cu_core.data.column_roles import Roles
from cu_core.data.label_classes import Classes, classes_of, label_values
from cu_core.data.manifest_checks import MAX_CLASSES
from cu_core.data.row_problems import SHOWN, RowProblems
from cu_core.data.sample_ids import OWN_ID, Ids, hashed_ids, id_texts, repeated, whole_numbers
from cu_core.data.schema import CAPTION
from cu_core.data.shard_writer import Chunk
from cu_core.errors import DataError


def own_id_name(roles: Roles) -> str:
    """Return the column in the shards of the user's ids."""
    if roles.sample_id not in (None, "sample_id"):
        return str(roles.sample_id)
    return OWN_ID if OWN_ID not in roles.extra.values() else "sample_id_in_source"


@dataclass(frozen=True)
class Surveyed:
    """What the first pass found."""

    place: str
    classes: Classes | None = None
    """Absent for data without labels."""
    hashed: bool = False
    """Whether the sample_id is a hash of the user's id, as these are not all whole numbers."""
    notes: Mapping[str, int] = field(default_factory=dict)

    def numbers(self, labels: pa.Array) -> NDArray[np.int64]:
        """Return the class numbers of a label column."""
        assert self.classes is not None
        return self.classes.numbers(label_values(labels, self.place)[0])

    def ids(self, column: pa.Array) -> tuple[Ids, pa.Array]:
        """Return the sample_ids of an id column, and its text."""
        texts = id_texts(column, self.place)
        numbers = None if self.hashed else whole_numbers(texts)
        return (hashed_ids(texts.to_pylist()) if numbers is None else numbers), texts


class Survey:
    """Reads the small columns batch by batch; ``result`` refuses everything that is wrong at once."""

    def __init__(self, place: str, roles: Roles, skip_empty_captions: bool):
        self.place, self.roles, self.skip_empty = place, roles, skip_empty_captions
        self.found = Surveyed(place)
        self._problems = RowProblems(place)
        self._values: set[int | str] = set()
        self._spellings: set[str] = set()
        self._texts: list[pa.Array] = []
        self._places: list[tuple[str, Sequence[int]]] = []
        self.num_dropped = 0
        """Rows without a caption that are left out, so far."""
        self._num_empty = self._num_beside = 0

    def add(self, name: str, batch: pa.RecordBatch, rows: Sequence[int]) -> None:
        """Read rows of a file; ``rows`` are their numbers in it."""
        if self.roles.label is not None:
            place = f"{self.place}: {name}: column {self.roles.label!r} (label)"
            values, bad = label_values(batch.column(self.roles.label), place)
            for kind, where in bad.items():
                self._problems.add(kind, name, [rows[int(i)] for i in where])
            self._values.update(values.drop_null().unique().to_pylist())
            if is_text(values.type):
                spelled = pc.filter(batch.column(self.roles.label), values.is_valid())
                self._spellings.update(spelled.unique().to_pylist())
            if len(self._values) > MAX_CLASSES:
                classes_of(list(self._values), None, place)
        if self.roles.caption is not None:
            self._captions(name, batch.column(self.roles.caption), rows)
        if self.roles.sample_id is not None:
            place = f"{self.place}: {name}: column {self.roles.sample_id!r} (sample_id)"
            texts = id_texts(batch.column(self.roles.sample_id), place)
            missing = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts), ""), True)
            self._problems.add("rows have no id", name, [rows[i] for i in _where(missing)])
            self._texts.append(texts)
            self._places.append((name, rows))

    def _captions(self, name: str, column: pa.Array, rows: Sequence[int]) -> None:
        place = f"{self.place}: {name}: column {self.roles.caption!r} (caption)"
        without, beside = empty_captions(column, place)
        empty = np.flatnonzero(without)
        self._num_empty += len(empty)
        self._num_beside += beside
        if self.roles.label is not None:
            return
        if self.skip_empty:
            self.num_dropped += len(empty)
        else:
            self._problems.add("rows have no caption", name, [rows[int(i)] for i in empty])

    def result(self, names: Sequence[str] | None) -> Surveyed:
        """Return what was found.

        Args:
            names: Names of the classes that the file has.

        Raises:
            DataError: Something is wrong; everything is named, with its rows.
        """
        outside = [v for v in self._values if names and isinstance(v, int) and not 0 <= v < len(names)]
        if names and outside:
            values = ", ".join(map(str, sorted(outside)[:SHOWN]))
            self._problems.add(f"labels name none of the file's {len(names)} classes", values)
        hashed = any(whole_numbers(texts) is None for texts in self._texts)
        if not self._problems:
            self._refuse_repeated(hashed)
        hint = "--skip-empty-captions leaves rows without a caption out." if self._lacks_only_captions() else ""
        self._problems.refuse(hint)
        notes = dict[str, int]()
        if self._num_empty:
            left = "left out" if self.num_dropped else "kept, an image-text model refuses them"
            notes[f"{left}, rows without caption"] = self._num_empty
        if self._num_beside:
            notes["not used, empty captions beside others of their row"] = self._num_beside
        classes = self._classes(names, notes) if self.roles.label is not None else None
        if hashed:
            origin, kept = self.roles.sample_id, own_id_name(self.roles)
            note = f"sample_id made, 63 bits of the SHA-256 of column {origin!r}, kept as {kept!r}"
            notes[note] = sum(map(len, self._texts))
        self.found = replace(
            self.found, classes=classes, hashed=hashed, notes=notes
        )  # fmt: skip
        return self.found

    def _classes(self, names: Sequence[str] | None, notes: dict[str, int]) -> Classes:
        classes = classes_of(list(self._values), names, f"{self.place}: column {self.roles.label!r}")
        if classes.renumbered:
            shown = ", ".join(map(str, classes.values[:SHOWN])) + (", ..." if len(classes.values) > SHOWN else "")
            notes[f"renumbered, labels {shown} to classes from 0 that are named by them"] = len(classes.values)
        if classes.whole_floats:
            notes["read as whole numbers, labels such as '2.0'"] = len(classes.values)
        if (joined := len(self._spellings) - len(self._values)) > 0:
            notes["labels joined, they differ in spaces around them or in Unicode's normal form only"] = joined
        return classes

    def _lacks_only_captions(self) -> bool:
        return self._num_empty > 0 and self.roles.label is None

    def _refuse_repeated(self, hashed: bool) -> None:
        ids = [self._as_ids(texts, hashed) for texts in self._texts]
        twice = repeated(ids)
        for value in twice[:SHOWN]:
            places = [
                f"{name} row {rows[int(i)]}"
                for (name, rows), found in zip(self._places, ids, strict=True)
                for i in np.flatnonzero(found == value)
            ]
            first = next(t[int(i)] for t, f in zip(self._texts, ids, strict=True) for i in np.flatnonzero(f == value))
            self._problems.add("ids occur more than once", f"{first.as_py()!r} ({' and '.join(places[:SHOWN])})")
        for value in twice[SHOWN:]:
            self._problems.add("ids occur more than once", str(value))

    @staticmethod
    def _as_ids(texts: pa.Array, hashed: bool) -> Ids:
        numbers = None if hashed else whole_numbers(texts)
        return hashed_ids(texts.to_pylist()) if numbers is None else numbers

    def without_empty(self, chunk: Chunk) -> Chunk:
        """Return a chunk without its rows that have no caption."""
        assert chunk.extra is not None
        kept = np.flatnonzero(~empty_captions(chunk.extra[CAPTION].combine_chunks(), self.place)[0])
        return chunk.rows(kept)


def _where(mask: pa.Array) -> list[int]:
    return [int(i) for i in np.flatnonzero(mask.to_numpy(zero_copy_only=False))]


def empty_captions(column: pa.Array, place: str) -> tuple[NDArray[np.bool_], int]:
    """Find the rows without a caption: null, or nothing but spaces; of a list, all of it.

    Returns:
        Whether each row has none, and the number of empty captions beside others.

    Raises:
        DataError: The column holds neither text nor lists of text.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_null(kind):
        return np.ones(len(column), bool), 0
    if not is_texts(kind):
        raise DataError(f"{place} must hold text or lists of text, not {kind}.")
    is_list = not is_text(kind)
    texts = pc.list_flatten(column) if is_list else column
    empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts), ""), True).to_numpy(zero_copy_only=False)
    if not is_list:
        return empty, 0
    rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    full = np.zeros(len(column), bool)
    full[rows[~empty.astype(bool)]] = True
    return ~full, int(full[rows[empty.astype(bool)]].sum())
