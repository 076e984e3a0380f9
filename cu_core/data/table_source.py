"""Any table with images, and labels or captions, as a source of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cu_core.data.arrow_types import is_bytes, is_text
from cu_core.data.column_roles import Roles, class_label_names, find_roles
from cu_core.data.image_column import ImageFiles, check_image_type
from cu_core.data.row_problems import RowProblems
from cu_core.data.sample_ids import ContentIds, hashed_ids
from cu_core.data.schema import CAPTION, Split
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import PAIRS, Source, SourceOptions
from cu_core.data.split_names import describe_splits
from cu_core.data.table_file import Columns, TableFile
from cu_core.data.table_survey import Survey, own_id_name
from cu_core.errors import DataError


@dataclass(frozen=True)
class TableSource:
    """Reads tables in two passes: the small columns, to refuse all that is wrong at once, then the rows."""

    place: str
    """The source as the user gave it, for messages."""
    files: Sequence[TableFile]
    options: SourceOptions
    root: Path
    """Folder that paths of images are relative to."""
    id_from: str | None = None
    """Column whose text makes the ids where the user names none; absent: the content of the image makes them."""

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of all files; a column that some files lack is null there."""
        if not sum(file.num_rows for file in self.files):
            raise DataError(f"{self.place} has no rows.")
        return unified(self.files, self.place)

    @cached_property
    def roles(self) -> Roles:
        """The column of each role."""
        roles = find_roles(self.schema, self.options.columns or {}, self.place)
        check_image_type(self.schema.field(roles.image).type, f"{self.place}: column {roles.image!r}")
        for file in self.files:
            if lacking := [n for n in (roles.image, *roles.surveyed) if n not in file.schema.names]:
                raise DataError(f"{self.place}: {file.name} has no column {lacking[0]!r}, which other files have.")
        return roles

    def batches(self, file: TableFile, names: Columns) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield (first row, batch) of a file, in the common schema."""
        wanted = list(self.schema.names if names is None else names)
        here = [name for name in wanted if name in file.schema.names]
        first = 0
        for batch in file.read(here):
            columns = {
                n: batch.column(n).cast(self.schema.field(n).type)
                if n in here and batch.column(n).type != self.schema.field(n).type
                else batch.column(n)
                if n in here
                else pa.nulls(batch.num_rows, self.schema.field(n).type)
                for n in wanted
            }
            yield first, pa.record_batch(columns)
            first += batch.num_rows
        if first != file.num_rows:
            raise DataError(f"{self.place}: {file.name} must have {file.num_rows} rows, read {first}: it is damaged.")

    def source(self, name: str, told: Mapping[str, int] | None = None) -> Source:
        """Check the small columns, and return the source.

        Args:
            name: Name of the data set.
            told: Notes on how the files were found.

        Raises:
            DataError: Something in the columns cannot be used; everything is named, with its rows.
        """
        names = class_label_names(self.schema, self.roles.label)
        survey = Survey(self.place, self.roles, self.options.skip_empty_captions)
        counts: dict[Split, int] = {}
        for file in self.files:
            before = survey.num_dropped
            for first, batch in self.batches(file, self.roles.surveyed) if self.roles.surveyed else ():
                survey.add(file.name, batch, file.rows(first, batch.num_rows))
            kept = file.num_rows - (survey.num_dropped - before)
            counts[file.split or "train"] = counts.get(file.split or "train", 0) + kept
        found = survey.result(names)
        named = describe_splits((f.name, f.split, f.num_rows) for f in self.files)
        notes = {**named, **(told or {}), **self.roles.notes, **found.notes}
        if self.roles.sample_id is None:
            origin = f"column {self.id_from!r}" if self.id_from else "the content of the image"
            notes[f"sample_id made, 63 bits of the SHA-256 of {origin}"] = sum(file.num_rows for file in self.files)
        classes = found.classes.names if found.classes else PAIRS
        own = own_id_name(self.roles) if found.hashed else None
        values = tuple(int(v) for v in found.classes.values) if found.classes and found.classes.renumbered else ()
        return Source(name, classes, counts, lambda: self._chunks(survey, notes), notes, own, values)

    def _chunks(self, survey: Survey, notes: dict[str, int]) -> Iterator[Chunk]:
        problems = RowProblems(self.place)
        later = self.options.check and self.options.skip_bad  # the check of images leaves them out, and counts them
        images = ImageFiles(self.root, self.options.max_file_mb, RowProblems(self.place) if later else problems)
        made = ContentIds()
        for file in self.files:
            for first, batch in self.batches(file, None):
                numbers = file.rows(first, batch.num_rows)
                pixels = images.read(batch.column(self.roles.image), file.name, numbers)
                if not problems:  # else go on to find the others, and write nothing
                    yield self._chunk(file, batch, pixels, numbers, survey, made)
        problems.refuse()
        if made.num_repeated:
            notes["equal byte by byte to an earlier image, sample_id numbered"] = made.num_repeated

    def _chunk(
        self,
        file: TableFile,
        batch: pa.RecordBatch,
        images: NDArray[np.uint8] | list[bytes],
        numbers: Sequence[int],
        survey: Survey,
        made: ContentIds,
    ) -> Chunk:
        rows, found = batch.num_rows, survey.found
        labels = found.numbers(batch.column(self.roles.label)) if self.roles.label else np.zeros(rows, np.int64)
        columns: dict[str, pa.Array] = {new: stored(batch.column(old)) for old, new in self.roles.extra.items()}
        if self.roles.caption is not None:
            columns[CAPTION] = stored(batch.column(self.roles.caption))
        if self.roles.sample_id is not None:
            ids, texts = found.ids(batch.column(self.roles.sample_id))
            columns |= {own_id_name(self.roles): texts} if found.hashed else {}
        elif self.id_from is not None:
            ids = hashed_ids(batch.column(self.id_from).to_pylist())
        else:
            ids = made.of(images if isinstance(images, list) else [image.tobytes() for image in images])
        places = [f"{file.name} row {number}" for number in numbers]
        chunk = Chunk(file.split or "train", images, labels, ids, pa.table(columns) if columns else None, places)
        return survey.without_empty(chunk) if self.options.skip_empty_captions and not self.roles.label else chunk


def unified(files: Sequence[TableFile], place: str) -> pa.Schema:
    """Return a schema that holds the rows of all files: the widest of integers, of floats and of texts.

    Raises:
        DataError: Two files have a column of different kinds.
    """
    fields: dict[str, pa.Field] = {}
    for file in files:
        for field in file.schema:
            if len(file.schema.get_all_field_indices(field.name)) > 1:
                raise DataError(f"{place}: {file.name} has several columns of the name {field.name!r}; rename them.")
            known = fields.get(field.name, field)
            wider = _wider(known.type, field.type)
            if wider is None:
                raise DataError(
                    f"{place}: column {field.name!r} holds {known.type} in other files and {field.type} in "
                    f"{file.name}; write all files with one schema."
                )
            fields[field.name] = known.with_type(wider)
    metadata = next((file.schema.metadata for file in files if file.schema.metadata), None)
    return pa.schema(list(fields.values()), metadata)


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    for alike in (pa.types.is_integer, pa.types.is_floating, is_text, is_bytes):
        if alike(one) and alike(other):
            return pa.unify_schemas(
                [pa.schema({"x": one}), pa.schema({"x": other})], promote_options="permissive"
            ).field("x").type  # fmt: skip
    return None


def stored(column: pa.Array) -> pa.Array:
    """Return a column as shards hold it: categories and UUIDs as plain values, which requests compare."""
    if pa.types.is_dictionary(column.type):
        return column.dictionary_decode()
    if column.type == pa.uuid():
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())
    return pc.cast(column, pa.string()) if pa.types.is_string_view(column.type) else column
