"""What a request and a retain pool need is opened, and nothing else: also on ten billion rows."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cu_core.data.forget_split import MEASURED_SHARDS, ForgetSplit, RowLimits
from cu_core.data.loader import Batches, UnlearnStream
from cu_core.data.order import hash64
from cu_core.data.requests import ByClass, ByIds, ByPredicate, ForgetRequest, resolve_request
from cu_core.data.retain_pool import two_pools
from cu_core.data.schema import Manifest, ShardInfo, write_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import Chunk, ShardWriter
from cu_core.errors import DataError

ROWS, SHARDS, SEED = 40, 6, 3


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Six training shards of 40 rows, ids and users ascending; val and test."""
    rng = np.random.default_rng(0)
    with ShardWriter(tmp_path / "set", "set", ["a", "b", "c"], "test", shard_rows=ROWS) as writer:
        for split, count in (("train", SHARDS * ROWS), ("val", ROWS), ("test", ROWS)):
            first = {"train": 0, "val": 1000, "test": 2000}[split]
            ids = np.arange(first, first + count)
            extra = pa.table({"user_id": ids // 10, "source": [f"s{i % 7}" for i in ids]})
            images = rng.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
            writer.add(Chunk(split, images, ids % 3, ids, extra))  # type: ignore[arg-type]
        writer.finish()
    return tmp_path / "set"


def opened(reader: ShardReader) -> set[str]:
    return {path for path in reader._batches if path.startswith("train")}


@pytest.mark.parametrize(
    ("request_", "rows", "shards"),
    [
        (ByPredicate(where="user_id == 17"), range(170, 180), {4}),
        (ByPredicate(where="user_id in [3, 9] and source != 's0'"), [*range(30, 40), *range(90, 100)], {0, 2}),
        (ByPredicate(where="not user_id < 22"), range(220, 240), {5}),
        (ByClass(classes=(1,)), range(1, 240, 3), set(range(SHARDS))),
    ],
    ids=lambda value: getattr(value, "where", None),
)
def test_only_shards_that_may_hold_the_rows_are_opened(
    packed: Path, request_: ForgetRequest, rows: list[int], shards: set[int]
) -> None:
    reader = ShardReader(packed)
    found = resolve_request(request_, reader).rows
    want = [row for row in rows if "s0" not in getattr(request_, "where", "") or row % 7]
    np.testing.assert_array_equal(found, want)
    assert opened(reader) == {f"train-{n:05d}.arrow" for n in {0} | shards}  # the first tells the columns


def test_ids_are_looked_for_where_they_may_be(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("45\n201\n")
    reader = ShardReader(packed)
    np.testing.assert_array_equal(resolve_request(ByIds(path=str(tmp_path / "ids.txt")), reader).rows, [45, 201])
    assert opened(reader) == {"train-00000.arrow", "train-00001.arrow", "train-00005.arrow"}


def test_a_manifest_without_ranges_gives_the_same_rows_and_digest(packed: Path) -> None:
    manifest = ShardReader(packed).manifest
    without = replace(manifest, shards=tuple(replace(shard, ranges={}) for shard in manifest.shards))
    assert without.digest == manifest.digest
    request = ByPredicate(where="user_id == 17")
    rows = resolve_request(request, ShardReader(packed)).rows
    write_manifest(packed, without)
    reader = ShardReader(packed)
    np.testing.assert_array_equal(resolve_request(request, reader).rows, rows)
    assert len(opened(reader)) == SHARDS


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    forget=st.sets(st.integers(0, 53)),
    chosen=st.integers(1, 6),
    seed=st.integers(0, 5),
)
def test_a_pool_is_the_rows_of_its_shards_without_the_forgotten(
    counts: list[int], forget: set[int], chosen: int, seed: int
) -> None:
    sizes = np.array(counts)
    firsts = np.cumsum(sizes) - sizes
    gone = np.array(sorted(row for row in forget if row < sizes.sum()), np.int64)
    drawn = [int(s) for s in np.argsort(hash64(np.arange(len(counts)), seed, 55), kind="stable")]
    rows = {s: set(range(int(firsts[s]), int(firsts[s] + sizes[s]))) - set(gone.tolist()) for s in drawn}
    drawn = [s for s in drawn if rows[s]]
    if chosen > len(drawn):
        with pytest.raises(DataError, match=f"shards {len(drawn)} hold retained rows"):
            two_pools(firsts, sizes, gone, chosen, 2, seed)
        return
    pools = two_pools(firsts, sizes, gone, chosen, 2, seed)
    for pool, shards in zip(pools, (drawn[:chosen], drawn[chosen : chosen + 2] or drawn[:chosen]), strict=True):
        want = sorted(set().union(*(rows[s] for s in shards)))
        assert pool.size == len(want)
        np.testing.assert_array_equal(pool.rows(np.arange(pool.size)), want)


def ten_billion(packed: Path, shards: int) -> Path:
    """The packed set among shards that only the manifest knows; the real ones lie where a pool of four finds them."""
    manifest = ShardReader(packed).manifest
    real = list(manifest.split_shards("train"))
    drawn = np.argsort(hash64(np.arange(shards), SEED, 55), kind="stable")[:4]
    places = dict(zip([0, 1, *drawn.tolist()], real, strict=True))
    rows, ranges = 10**10 // shards, {"user_id": (10**6, 10**7)}
    missing = ShardInfo(path="", split="train", batch_rows=(rows,), bytes=1, sha256="0" * 64, ranges=ranges)
    train = [places.get(n) or replace(missing, path=f"missing-{n}.arrow") for n in range(shards)]
    others: list[ShardInfo] = []
    for split in ("val", "test"):
        (here,) = manifest.split_shards(split)
        seen = {int(n) for n in np.argsort(hash64(np.arange(100), 66), kind="stable")[:MEASURED_SHARDS]}
        gone = [replace(missing, path=f"missing-{split}-{n}.arrow", split=split) for n in range(100)]
        copies = [replace(here, path=f"{split}-copy-{n}.arrow") for n in range(100)]
        for n in seen:
            shutil.copy(packed / here.path, packed / copies[n].path)
        others += [copies[n] if n in seen else gone[n] for n in range(100)]
    write_manifest(packed, replace(manifest, shards=(*train, *others)))
    return packed


def test_ten_billion_rows_of_which_six_shards_are_there(packed: Path) -> None:
    reader = ShardReader(ten_billion(packed, 2000))
    assert reader.num_rows("train") > 9.9e9
    forget = resolve_request(ByPredicate(where="user_id == 5"), reader)
    assert len(forget.rows) == 10
    split = ForgetSplit(reader, forget, seed=SEED, limits=RowLimits(10, 50), retain_shards=4)
    assert split.num_retain == 4 * ROWS
    stream = UnlearnStream(split, Batches(forget_batch=5, retain_batch=30), SEED)
    served = np.concatenate([batch.retain.sample_ids.numpy() for batch in stream.prefetched(0, 8)])
    assert len(np.unique(served)) == 4 * ROWS
    assert stream.leaks == 0
    assert len(split.retain_train) == 50
    assert len(split.stop_retain) == 10
    assert len(split.holdout) > 10
    assert len(split.retain_test) == 250
    with pytest.raises(DataError, match="no file"):
        reader.images("train", np.array([reader.num_rows("train") // 2]))


def test_of_val_and_test_few_shards_are_opened_and_those_of_a_forgotten_class(tmp_path: Path) -> None:
    """Shards of one class each: the class lies in one of thirty."""
    with ShardWriter(tmp_path / "set", "set", [str(c) for c in range(30)], "test", shard_rows=4) as writer:
        for split, first in (("train", 0), ("val", 1000), ("test", 2000)):
            ids = np.arange(first, first + 120)
            writer.add(Chunk(split, np.zeros((120, 1, 8, 8), np.uint8), (ids - first) // 4, ids))  # type: ignore[arg-type]
        writer.finish()
    for number in (0, 17, 29):
        reader = ShardReader(tmp_path / "set")
        forget = resolve_request(ByClass(classes=(number,)), reader)
        split = ForgetSplit(reader, forget, seed=SEED, limits=RowLimits(10, 500), retain_shards=4)
        assert len(split.forget_test) == 4
        assert len(split.stop_forget) + (split.holdout.rows // 4 == number).sum() == 4
        assert 36 <= len(split.retain_test) <= 40
        for unseen in ("val", "test"):
            assert len([path for path in reader._batches if path.startswith(unseen)]) in (10, 11)


def test_a_manifest_survives_its_file(packed: Path) -> None:
    manifest: Manifest = ShardReader(packed).manifest
    assert manifest.split_shards("train")[1].ranges["user_id"] == (4, 7)
    assert manifest.split_shards("train")[1].ranges["source"] == ("s0", "s6")
    written = json.loads((packed / "manifest.json").read_text())
    assert written == json.loads(json.dumps(dataclasses.asdict(manifest))) | {"half": None}
