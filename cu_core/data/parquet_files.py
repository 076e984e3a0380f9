"""Parquet files with image bytes as a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cu_core.data.schema import CAPTION, Split
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import CHUNK_ROWS, PAIRS, Source, SourceOptions, split_of
from cu_core.errors import DataError


def _parquet_columns(path: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Map each role to its column; pairs need no label.

    Raises:
        DataError: A column is missing; the message lists the columns.
    """
    present = pq.read_schema(path).names
    caption = given.get(CAPTION, CAPTION)
    roles = ["sample_id", "image"]
    roles += ["label"] if "label" in given or given.get("label", "label") in present or caption not in present else []
    names = {role: given.get(role, role) for role in roles} | ({CAPTION: caption} if CAPTION in given else {})
    for name in names.values():
        if name not in present:
            raise DataError(
                f"{path} has no column {name!r}; columns there: {', '.join(present)}. "
                f"Map yours with --column, e.g. --column image=img."
            )
    return names


def _parquet_labels(paths: list[Path], column: str | None) -> dict[object, int]:
    """Map each value to its class number; empty for data without labels."""
    if column is None:
        return {}
    values: set[object] = set()
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(columns=[column]):
            values.update(batch.column(0).unique().to_pylist())
    if all(isinstance(v, int) for v in values):
        return {v: v for v in range(max(v for v in values if isinstance(v, int)) + 1)}
    return {v: number for number, v in enumerate(sorted(values, key=str))}


def parquet(argument: str, options: SourceOptions) -> Source:
    """``DIR/*.parquet`` with image bytes (or Hugging Face's struct), labels or captions, and any further columns.

    File names that start with train, val or test name the split.

    Raises:
        DataError: There is no file, or a column is missing.
    """
    paths = sorted(Path(argument).glob("**/*.parquet"))
    if not paths:
        raise DataError(f"parquet:{argument}: no *.parquet file there.")
    names = _parquet_columns(paths[0], options.columns or {})
    counts: dict[Split, int] = {}
    for path in paths:
        counts[split_of(path.name)] = counts.get(split_of(path.name), 0) + pq.read_metadata(path).num_rows
    classes = _parquet_labels(paths, names.get("label"))

    def read() -> Iterator[Chunk]:
        for path in paths:
            for batch in pq.ParquetFile(path).iter_batches(batch_size=CHUNK_ROWS):
                column = batch.column(names["image"])
                images = column.field("bytes") if pa.types.is_struct(column.type) else column
                raw = batch.column(names["label"]).to_pylist() if classes else []
                labels = np.array([classes[v] for v in raw] or [0] * batch.num_rows, np.int64)
                ids = batch.column(names["sample_id"]).cast(pa.int64()).to_numpy()
                rest = {n: n for n in batch.schema.names if n not in names.values()}
                rest |= {CAPTION: names[CAPTION]} if CAPTION in names else {}
                extra = pa.table({new: batch.column(old) for new, old in rest.items()}) if rest else None
                yield Chunk(split_of(path.name), images.to_pylist(), labels, ids, extra)

    return Source(Path(argument).name, tuple(str(v) for v in classes) or PAIRS, counts, read)
