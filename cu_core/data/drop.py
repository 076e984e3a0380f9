"""Takes rows out of a packed data set: shards that hold them are written anew, and the manifest names the new ones."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from cu_core.data.ranges import ranges_of
from cu_core.data.row_selection import Selection
from cu_core.data.schema import SPLITS, Dropped, Manifest, ShardInfo, read_manifest, write_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import new_data_folder
from cu_core.errors import UserError
from cu_core.files import atomic_file, file_sha256
from cu_core.storage import address, shown

LOCK = ".drop.lock"
"""File in the folder that one process at a time holds while it rewrites."""
REWRITTEN = re.compile(r"(?:train|val|test)-\d{5}\.v\d+\.arrow")
"""Names of shards that were written anew."""


@contextlib.contextmanager
def rewriting(folder: Path) -> Iterator[int]:
    """Context manager: this process alone rewrites the data in place; gives how many leftovers were deleted.

    Raises:
        UserError: Another process rewrites it, or the shards must not be rewritten in place.
    """
    if address(folder):
        raise UserError(f"{shown(folder)} is an address, of which other machines hold copies; write with --out NEW.")
    if any(Path(shard.path).is_absolute() for shard in read_manifest(folder).shards):
        raise UserError(
            f"{folder} registers Arrow files that lie elsewhere; they are not changed: write with --out NEW."
        )
    try:
        with FileLock(folder / LOCK, timeout=0):
            yield _delete_leftovers(folder)
    except Timeout as error:
        raise UserError(f"{folder} is being rewritten by another process; start again when it has ended.") from error


def drop_rows(
    reader: ShardReader, chosen: Selection, out: Path | None = None, requests: Sequence[str] = ()
) -> Manifest:
    """Write the data without some rows; shards that hold none of them are kept as they are.

    In place (inside ``rewriting``), new shards are written beside the old ones under other names, then the manifest
    that names them replaces the old one, then the old ones are deleted. A kill leaves the data before or after, and at
    most files that no manifest names, which the next ``rewriting`` deletes.

    Args:
        reader: The data set.
        chosen: The rows.
        out: New folder; absent: in place.
        requests: Names of the deletion requests for which the rows go; the manifest keeps them.

    Returns:
        The new manifest.

    Raises:
        UserError: No training row would be left.
        DataError: ``out`` exists.
    """
    step = _step(reader.manifest, chosen, requests, () if out is not None else tuple(chosen.rows))
    if chosen.counts.get("train", 0) == reader.manifest.num_rows("train"):
        raise UserError(f"all {chosen.counts['train']} training rows would be dropped; delete {shown(reader.folder)}.")
    if out is not None:
        with new_data_folder(out) as partial:
            manifest = _next(reader.manifest, _copied(reader, chosen, partial), step)
            write_manifest(partial, manifest)
        return manifest
    manifest = _next(reader.manifest, _changed(reader, chosen), step)
    write_manifest(reader.folder, manifest)
    _delete_leftovers(reader.folder)
    return manifest


def leftovers(folder: Path, manifest: Manifest) -> list[Path]:
    """Return shards of earlier versions, and new ones that the manifest does not name, which a kill left."""
    if not folder.is_dir():
        return []
    written = {path.name for path in folder.iterdir() if REWRITTEN.fullmatch(path.name)}
    old = {name for step in manifest.dropped for name in step.files}
    left = sorted((written | old) - {shard.path for shard in manifest.shards})
    return [folder / name for name in left if (folder / name).is_file()]


def _delete_leftovers(folder: Path) -> int:
    left = leftovers(folder, read_manifest(folder))
    for path in left:
        path.unlink()
    return len(left)


def _changed(reader: ShardReader, chosen: Selection) -> list[ShardInfo]:
    """Write the shards that change, beside the old ones."""
    version, shards = len(reader.manifest.dropped) + 1, list[ShardInfo]()
    for shard in reader.manifest.shards:
        if shard.path not in chosen.rows:
            shards.append(shard)
        elif chosen.num_rows(shard.path) < shard.rows:
            name = f"{Path(shard.path).name.partition('.')[0]}.v{version}.arrow"
            with atomic_file(reader.folder / name) as partial:
                written = _write_rest(reader, shard, chosen, partial)
            shards.append(replace(written, path=name))
    return shards


def _copied(reader: ShardReader, chosen: Selection, folder: Path) -> list[ShardInfo]:
    """Write all shards to a new folder."""
    shards = list[ShardInfo]()
    for shard in reader.manifest.shards:
        target = folder / f"{shard.split}-{sum(s.split == shard.split for s in shards):05d}.arrow"
        if shard.path not in chosen.rows:
            reader.batches(shard)  # fetched, and checked
            shutil.copyfile(reader.shard_path(shard), target)
            shards.append(replace(shard, path=target.name))
        elif chosen.num_rows(shard.path) < shard.rows:
            shards.append(replace(_write_rest(reader, shard, chosen, target), path=target.name))
    return shards


def _step(parent: Manifest, chosen: Selection, requests: Sequence[str], files: tuple[str, ...]) -> Dropped:
    rows = {split: chosen.counts[split] for split in SPLITS if chosen.counts.get(split)}
    return Dropped(parent=parent.digest, rows=rows, files=files, requests=tuple(requests))


def _next(parent: Manifest, shards: Sequence[ShardInfo], step: Dropped) -> Manifest:
    return replace(parent, shards=tuple(shards), dropped=(*parent.dropped, step))


def _write_rest(reader: ShardReader, shard: ShardInfo, chosen: Selection, target: Path) -> ShardInfo:
    """Write the rows of a shard that are not chosen."""
    kept = [
        batch.take(pa.array(np.setdiff1d(np.arange(batch.num_rows), inside)))
        for batch, inside in zip(reader.batches(shard), chosen.rows[shard.path], strict=True)
        if len(inside) < batch.num_rows
    ]
    kept = _used_values(kept)
    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, kept[0].schema) as writer:
        for batch in kept:
            writer.write_batch(batch)
    rows = tuple(batch.num_rows for batch in kept)
    size, sha256 = target.stat().st_size, file_sha256(target)
    return replace(shard, batch_rows=rows, bytes=size, sha256=sha256, ranges=ranges_of(kept))


def _used_values(batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Encode dictionary columns anew: the old dictionaries hold values of the rows that go."""
    table = pa.Table.from_batches(batches)
    for number, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            found = table.column(number).cast(field.type.value_type).combine_chunks().dictionary_encode()
            indices = found.indices.cast(field.type.index_type)
            column = pa.DictionaryArray.from_arrays(indices, found.dictionary, ordered=field.type.ordered)
            table = table.set_column(number, field, column)
    return table.to_batches()  # type: ignore[no-any-return]
