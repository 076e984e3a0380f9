"""Forget requests that tell methods apart: rows by a score (e.g. memorisation), and a cluster of similar rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cu_core.bounds import RowCount, Seed
from cu_core.data.copies_setting import CopiesSetting
from cu_core.data.order import EpochOrder, Rows
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import UserError
from cu_core.storage import named_file

ROWS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class ByScore(CopiesSetting):
    """Training rows from the top, the middle or the bottom of a score."""

    kind: Literal["by_score"] = "by_score"
    path: str
    """Parquet file with a column ``sample_id`` and the score, e.g. from `cu score`."""
    column: str = "memorisation"
    """Column of the score."""
    take: Literal["highest", "middle", "lowest"] = "highest"
    """Which part of the ranking."""
    count: RowCount
    """How many rows."""


@dataclass(frozen=True, kw_only=True)
class ByNeighbours(CopiesSetting):
    """A row drawn at random and the rows most like it (smallest squared pixel distance)."""

    kind: Literal["by_neighbours"] = "by_neighbours"
    count: RowCount
    """How many rows, the drawn one among them."""
    seed: Seed = 0
    """Seed of the row that is drawn."""


def _check_count(count: int, total: int) -> None:
    if not 0 < count < total:
        raise UserError(f"request.count must lie between 1 and {total - 1} ({total} rows to choose from), got {count}.")


def resolve_score(request: ByScore, reader: ShardReader) -> Rows:
    """Return the rows of the chosen part of the scores; equal scores are ordered by sample_id.

    Raises:
        UserError: The file does not exist, is unusable, or belongs to other data.
    """
    path = named_file(request.path)
    if not path.is_file():
        raise UserError(f"request.path: no file {path}; `cu score CONFIG --out FILE` makes one.")
    try:
        table = pq.read_table(path, columns=["sample_id", request.column])
        ids = table["sample_id"].cast(pa.int64()).to_numpy()
        scores = table[request.column].cast(pa.float64()).to_numpy()
    except (KeyError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} must hold the columns sample_id and {request.column}: {reason}.") from error
    _check_count(request.count, len(ids))
    if not np.isfinite(scores).all():
        raise UserError(f"{path}: column {request.column} holds values that are not finite numbers.")
    ranked = ids[np.lexsort((ids, scores))]
    start = {"lowest": 0, "middle": (len(ids) - request.count) // 2, "highest": len(ids) - request.count}[request.take]
    chosen = ranked[start : start + request.count]
    rows = reader.integers_in("sample_id", chosen)
    if len(rows) != request.count:
        raise UserError(f"{path} scores rows that are not in the training split: it was made for other data.")
    return rows


def resolve_neighbours(request: ByNeighbours, reader: ShardReader) -> Rows:
    """Return the rows nearest to a drawn row, in one pass over the images that keeps only the nearest rows so far.

    Raises:
        UserError: ``count`` is out of range.
    """
    total = reader.num_rows("train")
    _check_count(request.count, total)
    anchor = reader.images("train", EpochOrder(total, request.seed).at(0, 1)).float()
    best = np.empty(0), np.empty(0, np.int64)
    for start in range(0, total, ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, total))
        distance = (reader.images("train", rows).float() - anchor).square().flatten(1).sum(1).numpy()
        far, near = np.concatenate([best[0], distance]), np.concatenate([best[1], rows])
        keep = np.lexsort((near, far))[: request.count]
        best = far[keep], near[keep]
    return np.sort(best[1])
