from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cu_core.data.requests import resolve_request
from cu_core.data.selections import ByNeighbours, ByScore
from cu_core.data.shard_reader import ShardReader


@pytest.fixture
def scores(reader: ShardReader, tmp_path: Path) -> Path:
    """Row r has the score r, whatever the order in the file."""
    rows = np.random.default_rng(0).permutation(reader.num_rows("train"))
    ids = reader.sample_ids("train", rows)
    pq.write_table(pa.table({"sample_id": ids, "memorisation": rows.astype(float)}), tmp_path / "scores.parquet")
    return tmp_path / "scores.parquet"


@pytest.mark.parametrize(
    ("take", "expected"), [("lowest", range(4)), ("highest", range(1075, 1079)), ("middle", range(537, 541))]
)
def test_strata_are_the_ends_and_the_middle_of_the_score(
    reader: ShardReader, scores: Path, take: str, expected: range
) -> None:
    forget = resolve_request(ByScore(path=str(scores), take=take, count=4), reader)  # type: ignore[arg-type]
    np.testing.assert_array_equal(forget.rows, expected)
    assert forget.kind == "sample"


def test_scores_that_do_not_fit_are_refused(reader: ShardReader, scores: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file .*absent.parquet; `cu score CONFIG --out FILE` makes one"):
        resolve_request(ByScore(path=str(tmp_path / "absent.parquet"), count=3), reader)
    with pytest.raises(ValueError, match="must hold the columns sample_id and surprise"):
        resolve_request(ByScore(path=str(scores), column="surprise", count=3), reader)
    with pytest.raises(ValueError, match="between 1 and 1078"):
        resolve_request(ByScore(path=str(scores), count=1079), reader)
    table = pa.table({"sample_id": [10**9, 10**9 + 1], "memorisation": [0.5, 0.1]})
    pq.write_table(table, tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="made for other data"):
        resolve_request(ByScore(path=str(tmp_path / "other.parquet"), count=1), reader)
    pq.write_table(table.set_column(1, "memorisation", pa.array([0.5, np.nan])), tmp_path / "nan.parquet")
    with pytest.raises(ValueError, match="not finite"):
        resolve_request(ByScore(path=str(tmp_path / "nan.parquet"), count=1), reader)


def test_neighbours_are_nearer_than_all_other_rows(reader: ShardReader) -> None:
    forget = resolve_request(ByNeighbours(count=30, seed=4), reader)
    images = reader.images("train", np.arange(reader.num_rows("train"))).float().flatten(1)
    distances = np.array([((images - images[row]) ** 2).sum(1).numpy() for row in forget.rows])
    inside = np.isin(np.arange(len(images)), forget.rows)
    around = [row for row in distances if row[inside].max() <= row[~inside].min()]
    assert around  # some member, the drawn one, has all others of the set nearer than any row outside
    labels = reader.labels("train", forget.rows)
    assert np.bincount(labels).max() > 20  # similar digits, mostly of one class
