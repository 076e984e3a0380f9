"""Ranges of a shard's columns: which there are, and that they hide no row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cu_core.data.predicate import parse_predicate
from cu_core.data.ranges import LONGEST, may_hold, ranges_of
from cu_core.data.schema import Ranges, ShardInfo, write_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import Chunk, ShardWriter


def test_columns_that_have_no_range() -> None:
    batch = pa.record_batch({
        "whole": [3, 1, 2],
        "gap": [1, None, 3],
        "nan": [1.0, float("nan"), 2.0],
        "long": ["x", "y" * 65, "z"],
        "short": ["b", "a", "c"],
        "list": [[1], [2], [3]],
    })  # fmt: skip
    assert ranges_of([batch]) == {"whole": (1, 3), "short": ("a", "c")}
    assert ranges_of([batch.slice(0, 0)]) == {}


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.int64(), pa.uint8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string()]
)
def test_ranges_pass_over_no_row(kind: pa.DataType, tmp_path: Path) -> None:
    """With and without them a request finds the same, whatever the type of its column."""
    values = [3, 7, 20, 40] if pa.types.is_integer(kind) else [0.1, 0.2, 0.3, 0.7]
    ids = np.arange(40)
    column = pa.array([values[i // 10] for i in ids]).cast(kind)
    folder = tmp_path / "set"
    with ShardWriter(folder, "set", ["a", "b"], "test", shard_rows=10) as writer:
        for split in ("train", "val", "test"):
            images = np.zeros((40, 1, 8, 8), np.uint8)
            writer.add(Chunk(split, images, ids % 2, ids, pa.table({"value": column})))  # type: ignore[arg-type]
            ids = ids + 100
        writer.finish()
    packed = ShardReader(folder).manifest
    told = [{"value": (column[10 * n].as_py(),) * 2} for n in range(4)] * 3  # as another tool may say
    low, high = (f"'{v}'" if kind == pa.string() else str(v) for v in values[1:3])
    wanted = [f"value in [{low}]", f"not value in [{low}]", f"value == {low}", f"value != {high}", f"value < {high}"]
    for where in ["label == 1", *wanted]:
        found = []
        for ranges in ([s.ranges for s in packed.shards], [{}] * len(packed.shards), told):
            shards = tuple(replace(s, ranges=r) for s, r in zip(packed.shards, ranges, strict=True))
            write_manifest(folder, replace(packed, shards=shards))
            found.append(ShardReader(folder).rows_where(parse_predicate(where, ShardReader(folder).schema).expression))
        np.testing.assert_array_equal(found[0], found[1], err_msg=where)
        np.testing.assert_array_equal(found[2], found[1], err_msg=where)


def test_the_range_is_of_all_batches_together() -> None:
    batches = [pa.record_batch({"x": [5, 6]}), pa.record_batch({"x": [2, 9]})]
    assert ranges_of(batches) == {"x": (2, 9)}


@pytest.mark.parametrize(("length", "there"), [(LONGEST, True), (LONGEST + 1, False)])
def test_texts_have_a_range_up_to_a_length_in_characters(length: int, there: bool) -> None:
    text = "ä" * length  # two bytes each
    assert ranges_of([pa.record_batch({"x": [text]})]) == ({"x": (text, text)} if there else {})


@pytest.mark.parametrize("kind", [pa.float32(), pa.uint64(), pa.bool_(), pa.binary()])
def test_types_that_are_not_compared_exactly_have_no_range(kind: pa.DataType) -> None:
    assert ranges_of([pa.record_batch({"x": pa.array([0, 1]).cast(pa.string()).cast(kind)})]) == {}


def shard(name: str, **ranges: tuple[int, int]) -> ShardInfo:
    return ShardInfo(path=name, split="train", batch_rows=(1,), bytes=1, sha256="0" * 64, ranges=ranges)


def chosen(ranges: dict[str, Ranges], schema: pa.Schema, expression: pc.Expression) -> str:
    return "".join(s.path for s in may_hold([shard(n, **r) for n, r in ranges.items()], schema, expression))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        (pc.field("x") == 10, "abd"),  # bounds belong to the range
        (pc.field("x") == 15, "bd"),
        (pc.field("x") < 10, "ad"),
        (pc.field("x") > 20, "cd"),
        ((pc.field("x") == 15) & (pc.field("y") == 3), "d"),
        ((pc.field("x") == 5) | (pc.field("y") == 2), "abd"),
        (pc.field("x").isin([0, 30]), "acd"),
    ],
    ids=str,
)
def test_shards_are_excluded_by_their_bounds_alone(expression: pc.Expression, wanted: str) -> None:
    ranges: dict[str, Ranges] = {"a": {"x": (0, 10)}, "b": {"x": (10, 20), "y": (2, 2)}, "c": {"x": (21, 30)}, "d": {}}
    ranges["c"] = {"x": (21, 30), "y": (4, 9)}
    ranges["a"] = {"x": (0, 10), "y": (7, 8)}
    assert chosen(ranges, pa.schema({"x": pa.int64(), "y": pa.int64()}), expression) == wanted


def test_bounds_of_a_type_that_is_not_compared_exactly_exclude_nothing() -> None:
    """A manifest by another tool may have them."""
    ranges: dict[str, Ranges] = {"a": {"x": (0, 1)}, "b": {"x": (5, 6)}}
    assert chosen(ranges, pa.schema({"x": pa.float64()}), pc.field("x") == 5) == "b"
    assert chosen(ranges, pa.schema({"x": pa.float32()}), pc.field("x") == 5) == "ab"


def test_an_expression_over_an_absent_column_is_refused() -> None:
    with pytest.raises(pa.ArrowException, match="nothing"):
        chosen({"a": {}}, pa.schema({"x": pa.int64()}), pc.field("nothing") == 1)
