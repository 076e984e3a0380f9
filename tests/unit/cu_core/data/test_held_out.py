from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cu_core.data.convert import SplitPlan, pack
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions
from cu_core.errors import DataError, UserError
from tests.hostile.table_inputs import parquet_file, pngs

STYLES = ["a", "b", "a", "b", None, "a"]


def packed(where: str, folder: Path, **columns: Any) -> ShardReader:
    table = {"image": pngs(6), "label": [0, 0, 1, 1, 0, 1], "style": STYLES, "number": list(range(6)), **columns}
    parquet_file(folder / "in" / "rows.parquet", table)
    plan, options = SplitPlan(val_frac=0.25, test_frac=0.5), SourceOptions(test_where=where)
    pack(f"parquet:{folder / 'in'}", folder / "out", plan, options, lambda done, total: None)
    return ShardReader(folder / "out", 8)


def numbers(reader: ShardReader, split: Any) -> list[int]:
    return sorted(
        n for s in reader.manifest.split_shards(split) for b in reader.batches(s) for n in b["number"].to_pylist()
    )


def test_rows_for_which_it_holds_are_the_whole_test_split(tmp_path: Path) -> None:
    reader = packed("style == 'b'", tmp_path)
    assert numbers(reader, "test") == [1, 3]
    assert sorted(numbers(reader, "train") + numbers(reader, "val")) == [0, 2, 4, 5]
    assert len(numbers(reader, "val")) == 1  # a quarter of what is left
    assert reader.manifest.notes["test split, rows where style == 'b'"] == 2
    assert reader.manifest.notes["not in the test split by --test-where, no style"] == 1


def test_a_source_without_columns_has_labels(tmp_path: Path) -> None:
    pack("digits", tmp_path / "out", SplitPlan(), SourceOptions(test_where="label == 3"), lambda done, total: None)
    reader = ShardReader(tmp_path / "out", 8)
    assert set(reader.labels("test", np.arange(reader.num_rows("test"))).tolist()) == {3}


def test_labels_count_as_a_column(tmp_path: Path) -> None:
    assert numbers(packed("label == 1 and number > 2", tmp_path), "test") == [3, 5]


def test_rows_with_nan_are_no_test_rows_and_counted(tmp_path: Path) -> None:
    reader = packed("score != 0.5", tmp_path, score=[0.5, float("nan"), 1.0, 1.0, 0.5, None])
    assert numbers(reader, "test") == [2, 3]
    assert reader.manifest.notes["not in the test split by --test-where, no score"] == 2


@pytest.mark.parametrize(
    ("where", "message"),
    [("style == 'c'", "it fits 0"), ("number >= 0", "it fits 6"), ("form == 'b'", "form"), ("style ==", "style ==")],
)
def test_an_expression_that_makes_no_split_is_refused(where: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        packed(where, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_source_with_a_test_split_keeps_it(tmp_path: Path) -> None:
    parquet_file(tmp_path / "in" / "rows-test.parquet", {"image": pngs(2), "label": [0, 1], "style": ["b", "b"],
                                                         "number": [8, 9]})  # fmt: skip
    with pytest.raises(DataError, match="has one"):
        packed("style == 'b'", tmp_path)


@pytest.mark.parametrize("option", ["test_where", "languages"])
def test_registered_shards_are_not_divided(option: str, tmp_path: Path) -> None:
    (tmp_path / "a.arrow").write_bytes(b"")
    with pytest.raises(DataError, match="needs rows that are written"):
        pack(f"arrow:{tmp_path}", tmp_path / "out", SplitPlan(), SourceOptions(**{option: ("x",)}), lambda a, b: None)  # type: ignore[arg-type]


def test_languages_are_of_sources_that_have_several(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--language is for emoji: and stamps:, not digits:"):
        pack("digits", tmp_path / "out", SplitPlan(), SourceOptions(languages=("de",)), lambda done, total: None)
