"""Arrow shards of a user that are registered where they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cu_core.data.column_roles import check_names
from cu_core.data.image_check import bad_images
from cu_core.data.manifest_checks import MAX_CLASSES
from cu_core.data.opened_shard import (
    check_captions,
    check_image,
    check_pixels,
    check_whole_numbers,
    open_shard,
    tensor_shape,
)
from cu_core.data.ranges import ranges_of
from cu_core.data.sample_ids import Ids, repeated
from cu_core.data.schema import CAPTION, Manifest, ShardInfo, write_manifest
from cu_core.data.shard_writer import new_data_folder
from cu_core.data.source_files import files_of
from cu_core.data.sources import SourceOptions
from cu_core.data.split_names import describe_splits, split_of_path
from cu_core.errors import DataError, listed
from cu_core.files import file_sha256

Say = Callable[[Mapping[str, int]], None]


def register_arrow(
    folder: str, out: Path, options: SourceOptions, progress: Callable[[int, int], None], say: Say = lambda notes: None
) -> Manifest:
    """Index a user's Arrow IPC files without rewriting them; file names or sub-folders name the split.

    Every file is checked: one type and shape of images, an id and a class number in every row, no id twice. Tensors
    of floats in 0..1 are read as ``round(255 * value)``.

    Args:
        folder: Folder with the Arrow files.
        out: Folder for the manifest; it must not exist.
        options: Names of the columns.
        progress: Called with files done and files in total.
        say: Called with the notes on how the files are read, before anything is written.

    Returns:
        The manifest.

    Raises:
        DataError: There is no file, a file or column is unusable, ``out`` exists, or an option needs rows to be
            written.
    """
    notes: dict[str, int] = {}
    root, paths = files_of("arrow", folder, (".arrow",), notes)
    needs_rows = {
        "--caption": options.captions,
        "--shard-rows": options.shard_rows,
        "--skip-empty-captions": options.skip_empty_captions,
        "--image-root": options.image_root,
        "--skip-bad": options.skip_bad,
        "--decode": options.decode_size,
        "--test-where": options.test_where,
        "--language": options.languages,
    }
    for flag, given in needs_rows.items():
        if given:
            raise DataError(f"{flag} needs rows that are written; arrow: only registers shards where they lie.")
    with new_data_folder(out) as partial:
        found = _Registered(options)
        for number, path in enumerate(paths):
            found.add(path, path.relative_to(root))
            progress(number + 1, len(paths))
        notes |= describe_splits((s.path, split_of_path(Path(s.path).relative_to(root.resolve())), s.rows)
                                 for s in found.shards)  # fmt: skip
        say(notes)
        manifest = found.manifest(root.resolve().name, f"arrow:{folder}", notes)
        write_manifest(partial, manifest)
    return manifest


class _Registered:
    """The shards so far, and what all of them share."""

    def __init__(self, options: SourceOptions):
        self.options = options
        self.named = options.columns or {}
        self.bad: list[str] = []
        self.columns = {role: self.named.get(role, role) for role in ("sample_id", "image", "label")}
        self.shards: list[ShardInfo] = []
        self.schema: pa.Schema | None = None
        self.shape: tuple[int, ...] | None = None
        self.top_label = -1
        self.ids: list[Ids] = []

    def add(self, path: Path, relative: Path) -> None:
        """Check a file, and add it."""
        name = str(path)
        batches = open_shard(pa.memory_map(name), name) if path.stat().st_size else []
        if not any(batch.num_rows for batch in batches):
            raise DataError(f"{name} has no rows; delete the file.")
        self._check_schema(name, batches[0])
        first = 0
        for batch in batches:
            self._check(name, batch, first)
            first += batch.num_rows
        self.shards.append(
            ShardInfo(
                path=str(path.resolve()),
                split=split_of_path(relative) or "train",
                batch_rows=tuple(b.num_rows for b in batches),
                bytes=path.stat().st_size,
                sha256=file_sha256(path),
                ranges=ranges_of(batches),
            )
        )

    def _check_schema(self, name: str, batch: pa.RecordBatch) -> None:
        schema = batch.schema.remove_metadata()
        check_names(schema.names, {**self.columns, **self.named}, name)
        if self.schema is None:
            self.schema = schema
            self.shape = tensor_shape(batch.column(self.columns["image"]), f"{name}: column {self.columns['image']!r}")
        if not schema.equals(self.schema):
            differing = [f.name for f in schema if f not in list(self.schema)] or sorted(
                set(self.schema.names) - set(schema.names)
            )
            raise DataError(f"{name} has other columns or types than the first file: {', '.join(differing[:5])}.")

    def _check(self, name: str, batch: pa.RecordBatch, first: int) -> None:
        for role in ("sample_id", "label"):
            check_whole_numbers(name, batch, self.columns[role], role, first)
        check_image(name, batch, self.columns["image"], first, self.shape)
        check_pixels(batch, self.columns["image"], f"{name}, rows from {first}")
        if self.options.check and self.shape is None:
            found = bad_images(batch.column(self.columns["image"]), self.options.max_pixels)
            self.bad += [f"{name}, row {first + row}: {problem}" for row, problem in found]
        if CAPTION in self.named:
            check_captions(name, batch, self.named[CAPTION])
        self.ids.append(batch.column(self.columns["sample_id"]).to_numpy(zero_copy_only=False).astype(np.int64))
        labels = batch.column(self.columns["label"]).to_numpy(zero_copy_only=False)
        if not len(labels):
            return
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= MAX_CLASSES:
            row = first + int(np.flatnonzero((labels < 0) | (labels >= MAX_CLASSES))[0])
            raise DataError(
                f"{name}, row {row}: label {low if low < 0 else high} must be a class number, 0 to {MAX_CLASSES - 1}; "
                f"shards that lie where they are cannot be renumbered: write them as Parquet and pack parquet:DIR."
            )
        self.top_label = max(self.top_label, high)

    def manifest(self, name: str, source: str, notes: Mapping[str, int]) -> Manifest:
        """Return the manifest.

        Raises:
            DataError: Images do not decode, an id occurs twice, or there are no training rows.
        """
        if self.bad:
            raise DataError(f"images that cannot be used, {listed(self.bad)} Mend the files; nothing was written.")
        twice = repeated(self.ids)
        if len(twice):
            raise DataError(
                f"{source}: {len(twice)} ids of column {self.columns['sample_id']!r} occur more than once, e.g. "
                f"{', '.join(map(str, twice[:8]))}."
            )
        if not any(shard.split == "train" for shard in self.shards):
            raise DataError(f"{source} has no training rows: every file's name or folder says val or test.")
        assert self.schema is not None
        channels = self.shape[0] if self.shape else 0
        moments: dict[str, Any] = {"pixel_mean": (0.5,) * channels, "pixel_std": (0.25,) * channels} if channels else {}
        mapped = {**self.columns, **self.named}
        return Manifest(
            name=name,
            source=source,
            columns={role: column for role, column in mapped.items() if role != column},
            image_kind="tensor" if self.shape else "encoded",
            image_shape=self.shape,  # type: ignore[arg-type]
            shards=tuple(self.shards),
            class_names=tuple(str(c) for c in range(self.top_label + 1)),
            extra_columns=tuple(n for n in self.schema.names if n not in self.columns.values()),
            notes=dict(notes),
            **moments,
        )
