"""Check a shard set against its manifest and name shard and row of everything that is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from cu_core.data.checked import check_shard
from cu_core.data.drop import leftovers
from cu_core.data.image_check import bad_images
from cu_core.data.opened_shard import check_pixels
from cu_core.data.order import hash64
from cu_core.data.ranges import ranges_of
from cu_core.data.schema import SPLITS, ShardInfo
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import DataError

IDS_PER_PASS = 20_000_000


def verify(folder: Path, progress: Callable[[int, int], None]) -> list[str]:
    """Check a packed data set.

    Args:
        folder: Folder of the data set.
        progress: Called with shards done and shards in total.

    Returns:
        The problems found, one line each; empty if there are none.
    """
    reader = ShardReader(folder)
    shards = reader.manifest.shards
    problems: list[str] = []
    readable = True
    for number, shard in enumerate(shards):
        try:
            problems += _check_rows(reader, shard, _opened(reader, shard))
        except DataError as error:
            problems.append(str(error))
            readable = False
        progress(number + 1, len(shards))
    left = [
        f"{path.name} is left of an earlier version and may hold rows that were dropped: drop them again, or delete it."
        for path in leftovers(reader.folder, reader.manifest)
    ]
    if readable:
        return [*problems, *left, *_duplicate_ids(reader)]
    problems[-1] += " Duplicate ids were not looked for: first mend the shards."
    return [*problems, *left]


def _opened(reader: ShardReader, shard: ShardInfo) -> list[pa.RecordBatch]:
    """Return the record batches of a shard after its sha256 was checked.

    Raises:
        DataError: The bytes are not those that were packed.
    """
    reader.bring(shard)
    with contextlib.suppress(FileNotFoundError):  # told by the next line
        check_shard(reader.shard_path(shard), shard, anew=True)
    return reader.batches(shard)


def _check_rows(reader: ShardReader, shard: ShardInfo, batches: Sequence[pa.RecordBatch]) -> Iterator[str]:
    """Yield what is wrong with the values of a shard."""
    for name, (least, greatest) in ranges_of(batches).items():
        low, high = shard.ranges.get(name, (least, greatest))
        if low > least or high < greatest:  # type: ignore[operator]
            yield (
                f"shard {shard.path}: column {name} holds {least} to {greatest}, the manifest says {low} to {high}: "
                f"requests would pass over its rows."
            )
    first = 0
    for batch in batches:
        check_pixels(batch, reader.manifest.column("image"), f"shard {shard.path}, rows from {first}")
        labels = batch.column(reader.manifest.column("label")).to_numpy()
        for bad in np.flatnonzero((labels < 0) | (labels >= reader.manifest.num_classes)):
            yield (
                f"shard {shard.path}, row {first + bad}: label {labels[bad]} is outside "
                f"0..{reader.manifest.num_classes - 1}."
            )
        if reader.manifest.image_kind == "encoded":
            for row, problem in bad_images(batch.column(reader.manifest.column("image"))):
                yield f"shard {shard.path}, row {first + row}: {problem}"
        first += batch.num_rows


def _duplicate_ids(reader: ShardReader) -> Iterator[str]:
    """Yield ids that occur twice over all splits; the ids are partitioned by a hash so that memory stays bounded."""
    total = sum(reader.num_rows(s) for s in SPLITS)
    passes = total // IDS_PER_PASS + 1
    for number in range(passes):
        parts = [
            ids[hash64(ids) % np.uint64(passes) == number] for s in SPLITS for _, ids in reader.scan(s, "sample_id")
        ]
        values, counts = np.unique(np.concatenate(parts), return_counts=True)
        for value in values[counts > 1][:20]:
            yield f"sample_id {value} occurs more than once: {_places(reader, int(value))}."


def _places(reader: ShardReader, sample_id: int) -> str:
    places = []
    for shard in reader.manifest.shards:
        first = 0
        for batch in reader.batches(shard):
            ids = batch.column(reader.manifest.column("sample_id")).to_numpy()
            places += [f"shard {shard.path}, row {first + row}" for row in np.flatnonzero(ids == sample_id)]
            first += batch.num_rows
    return " and ".join(places)
