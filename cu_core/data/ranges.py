"""Least and greatest values of a shard's columns: which shards a request need not open."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from cu_core.data.schema import Ranges, ShardInfo

LONGEST = 64
"""Longer texts have no range: it would take more room than it saves."""


def ranges_of(batches: Sequence[pa.RecordBatch]) -> Ranges:
    """Compute the ranges of columns of integers, doubles and short texts that have a value in every row."""
    table = pa.Table.from_batches(batches)
    named = zip(table.column_names, table.columns, strict=True)
    return {name: tuple(pc.min_max(column).as_py().values()) for name, column in named if _has_range(column)}


def _comparable(kind: pa.DataType) -> bool:
    """Return whether the bounds of a column are compared exactly as its rows are.

    Rows of float32 are compared in float32 but bounds in float64, and the bounds of uint64 may exceed the type that is
    compared. Such bounds could exclude a shard that holds matching rows.
    """
    return kind in (pa.float64(), pa.string()) or (pa.types.is_integer(kind) and kind != pa.uint64())


def _has_range(column: pa.ChunkedArray) -> bool:
    if not len(column) or column.null_count or not _comparable(column.type):
        return False
    if pa.types.is_floating(column.type):
        return not pc.any(pc.is_nan(column)).as_py()
    if pa.types.is_string(column.type):
        return bool(pc.max(pc.utf8_length(column)).as_py() <= LONGEST)
    return True


def may_hold(shards: Sequence[ShardInfo], schema: pa.Schema, expression: pc.Expression) -> list[ShardInfo]:
    """Select the shards that may hold a row for which the expression holds, by their ranges; no shard is opened.

    Args:
        shards: Entries of the manifest.
        schema: Schema of the shards.
        expression: Expression over the columns.

    Returns:
        The shards that must be opened.

    Raises:
        pyarrow.ArrowException: The expression does not fit the columns.
    """
    everything = pc.scalar(True)
    ranged = {field.name for field in schema if _comparable(field.type)}
    known = []
    for shard in shards:
        bounds = (
            (pc.field(n) >= low) & (pc.field(n) <= high) for n, (low, high) in shard.ranges.items() if n in ranged
        )
        known.append(functools.reduce(operator.and_, bounds, everything))
    import pyarrow.dataset as ds  # imports pandas where it is installed

    source = ds.FileSystemDataset.from_paths(
        [str(number) for number in range(len(shards))],
        schema=schema,
        format=ds.IpcFileFormat(),
        filesystem=fs.LocalFileSystem(),
        partitions=known,
    )
    return [shards[int(fragment.path)] for fragment in source.get_fragments(filter=expression)]
