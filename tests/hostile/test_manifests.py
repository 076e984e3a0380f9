"""Manifests and registered shards that lie: read whole, checked against bounds and shards, refused in one line."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from cu_core.data.convert import SplitPlan, pack
from cu_core.data.requests import ByClass, ByRandom, resolve_request
from cu_core.data.schema import read_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import Chunk, ShardWriter
from cu_core.data.sources import SourceOptions
from cu_core.data.verify import verify
from cu_core.errors import DataError, UserError
from cu_core.files import sha256_of
from cu_core.storage import place
from pipelines.cli.data import app
from tests.hostile.table_inputs import arrow_file, packed, parquet_file, png, pngs

COUNT = 8


def no_progress(done: int, total: int) -> None:
    return


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path / "set", "set", ["a", "b"], "test", shard_rows=6) as writer:
        for split, first in (("train", 0), ("val", 100), ("test", 200)):
            ids = np.arange(first, first + 12)
            writer.add(Chunk(split, np.zeros((12, 1, 8, 8), np.uint8), ids % 2, ids))  # type: ignore[arg-type]
        writer.finish()
    return tmp_path / "set"


def edit(folder: Path, change: Callable[[Any], Any]) -> Path:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))
    return folder


def put(*path: Any) -> Callable[[Any], None]:
    """Return a change that sets the value at a path."""

    def change(content: Any) -> None:
        for step in path[:-2]:
            content = content[step]
        content[path[-2]] = path[-1]

    return change


def all_refuse(folder: Path, match: str) -> None:
    """Inspect, verify and the resolution of requests say the same in one line."""
    for use in (
        lambda: verify(folder, no_progress),
        lambda: resolve_request(ByClass(classes=(1,)), ShardReader(folder)),
        lambda: resolve_request(ByRandom(frac=0.5), ShardReader(folder)),
    ):
        with pytest.raises(UserError, match=match):
            use()
    result = CliRunner().invoke(app, ["inspect", str(folder)])
    assert isinstance(result.exception, DataError)


def repeat_shard(content: Any) -> None:
    content["shards"].append(content["shards"][0])


def without_train(content: Any) -> None:
    content["shards"] = [shard for shard in content["shards"] if shard["split"] != "train"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (put("shards", 0, "batch_rows", [10**15]), "more than 1000000000000 rows"),
        (put("shards", 0, "batch_rows", [10**11]), "100000000000 rows in a file of"),
        (put("shards", 0, "path", "gone.arrow"), "gone.arrow must have|no file"),
        (put("shards", 0, "batch_rows", [-6]), "at least 0"),
        (put("shards", 0, "batch_rows", [10**400]), "more than 1000000000000 rows"),
        (put("shards", 0, "bytes", -1), "at least 0"),
        (put("shards", 0, "sha256", "x"), "64 hex digits"),
        (put("shards", 0, "split", "holdout"), "not a valid manifest: shards.0.split"),
        (put("shards", 0, "path", "../set/train-00000.arrow"), "plain name in the folder"),
        (put("shards", 0, "path", "a/../../x.arrow"), "plain name in the folder"),
        (put("shards", 0, "path", "/etc/passwd"), "its path is absolute"),
        (put("shards", 0, "path", "a\0b"), "plain name in the folder"),
        (put("shards", 0, "path", "..\\x"), "plain name in the folder"),
        (put("shards", 0, "path", ""), "plain name in the folder"),
        (put("shards", 0, "ranges", {"label": [5, 1]}), "the smaller first"),
        (put("shards", 0, "ranges", {"label": [0, 2**70]}), "64 bits"),
        (put("shards", 0, "ranges", {"label": [0]}), "not a valid manifest"),
        (put("shards", []), "no training rows"),
        (put("shards", {}), "not a valid manifest: shards"),
        (without_train, "no training rows"),
        (repeat_shard, "named more than once"),
        (put("image_shape", [1, -8, 8]), r"image_shape \(1, -8, 8\) must be"),
        (put("image_shape", [0, 8, 8]), "image_shape"),
        (put("image_shape", [1, 10**9, 10**9]), "image_shape"),
        (put("image_shape", [1, 8]), "not a valid manifest: image_shape"),
        (put("image_shape", None), "images of kind 'tensor' with image_shape None"),
        (put("image_kind", "encoded"), "images of kind 'encoded'"),
        (put("class_names", []), "0 classes; there must be 1 to 1000000"),
        (put("class_names", "ab"), "not a valid manifest: class_names"),
        (put("columns", {"sample_id": "label"}), "gives two roles to one column"),
        (put("columns", {"pixel": "x"}), "unknown role 'pixel'"),
        (put("extra_columns", ["x", "x"]), "names a column twice"),
        (put("columns", {"own_id": "x"}), "own ids 'x' is none of"),
        (put("label_values", [1, 2, 3]), "3 values for 2 classes"),
        (put("pixel_mean", [0.5, 0.5]), "one value a channel"),
        (put("pixel_std", [0.0]), "above 0"),
        (put("pixel_std", [float("nan")]), "finite|not a valid manifest"),
        (put("format_version", 99), "has format 99"),
        (lambda content: [content], "not a valid manifest"),
        (lambda content: "text", "not a valid manifest"),
    ],
)
def test_a_manifest_that_lies(data: Path, change: Callable[[Any], Any], match: str) -> None:
    all_refuse(edit(data, change), match) if "gone" not in match else None
    if "gone" in match:
        edit(data, change)
        assert any("found no file" in line for line in verify(data, no_progress))


def test_ten_million_classes(data: Path) -> None:
    edit(data, put("class_names", ["x"] * 1_000_001))
    with pytest.raises(DataError, match="1000001 classes; there must be 1 to 1000000"):
        read_manifest(data)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"{", b"[" * 100_000, b'{"name": "\\ud800"}', b"null", b'{"a": ' * 50_000]
)
def test_a_manifest_that_is_no_json(data: Path, content: bytes) -> None:
    (data / "manifest.json").write_bytes(content)
    all_refuse(data, "is not a valid manifest")


@pytest.mark.parametrize(
    ("rows", "match"),
    [([7], "has 6 rows in 1 batches, the manifest says 7 in 1"), ([5], "says 5 in 1"), ([3, 3], "says 6 in 2")],
)
def test_row_counts_that_are_not_the_shards(data: Path, rows: list[int], match: str) -> None:
    edit(data, put("shards", 0, "batch_rows", rows))
    assert any(match in line for line in verify(data, no_progress))
    result = CliRunner().invoke(app, ["inspect", str(data)])
    assert isinstance(result.exception, DataError)
    with pytest.raises(DataError, match=match):
        resolve_request(ByClass(classes=(1,)), ShardReader(data))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (put("image_shape", [1, 4, 16]), r"holds tensors of \(1, 8, 8\), other shards or the manifest say"),
        (put("extra_columns", ["user"]), "no column 'user'"),
        (put("columns", {"image": "picture"}), "no column 'picture'"),
        (put("columns", {"label": "sex"}), "no column 'sex'"),
        (put("class_names", ["a"]), "label 1 is outside 0..0"),
    ],
)
def test_columns_and_shapes_that_are_not_the_shards(data: Path, change: Callable[[Any], Any], match: str) -> None:
    edit(data, change)
    found = verify(data, no_progress)
    assert any(__import__("re").search(match, line) for line in found)
    result = CliRunner().invoke(app, ["inspect", str(data)])
    assert isinstance(result.exception, DataError)


def replaced_shard(data: Path, table: pa.Table) -> None:
    """Another file in the place of the first shard, and a manifest that agrees with its bytes."""
    path = arrow_file(data / "train-00000.arrow", table)
    size, digest = path.stat().st_size, sha256_of(path)

    def change(content: Any) -> None:
        content["shards"][0] |= {"bytes": size, "sha256": digest, "ranges": {}}

    edit(data, change)


def shard(**columns: Any) -> pa.Table:
    images = np.zeros((6, 1, 8, 8), np.uint8)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(images)
    kinds = {"sample_id": list(range(6)), "image": tensors, "label": [0, 1] * 3} | columns
    return pa.table({name: column for name, column in kinds.items() if column is not None})


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"label": [0, None, 1, 0, 1, 0]}, "row 1: column 'label' .label. is null"),
        ({"label": [0.0, float("nan"), 1.0, 0.0, 1.0, 0.0]}, "must hold integers, it holds double"),
        ({"label": ["a"] * 6}, "must hold integers, it holds string"),
        ({"label": None}, "no column 'label'"),
        ({"label": [0, 2**62, 1, 0, 1, 0]}, f"row 1: label {2**62} is outside 0..1"),
        ({"label": [0, -3, 1, 0, 1, 0]}, "row 1: label -3 is outside 0..1"),
        ({"sample_id": [0, 1, 2, 3, 4, None]}, "row 5: column 'sample_id' .sample_id. is null"),
        ({"sample_id": [0.5] * 6}, "must hold integers"),
        ({"sample_id": pa.array([2**63] * 6, pa.uint64())}, "more than 63 bits"),
        ({"sample_id": None}, "no column 'sample_id'"),
        ({"image": None}, "no column 'image'"),
        ({"image": pngs(6)}, "holds encoded images, other shards or the manifest say tensors"),
        ({"image": [1] * 6}, "must hold image bytes or fixed-shape tensors, not int64"),
        ({"image": [[1, 2]] * 6}, "must hold image bytes or fixed-shape tensors, not list"),
    ],
)
def test_a_shard_whose_columns_are_not_usable(data: Path, columns: dict[str, Any], match: str) -> None:
    import re

    replaced_shard(data, shard(**columns))
    assert any(re.search(match, line) for line in verify(data, no_progress))
    result = CliRunner().invoke(app, ["inspect", str(data)])
    assert isinstance(result.exception, DataError)
    if "outside" not in match:
        with pytest.raises(DataError, match=match):
            resolve_request(ByClass(classes=(1,)), ShardReader(data))


def test_a_shard_with_a_column_twice(data: Path) -> None:
    table = shard()
    replaced_shard(data, table.append_column("label", table["label"]))
    assert any("2 columns 'label'" in line for line in verify(data, no_progress))


def test_offsets_that_lie_do_not_crash(tmp_path: Path) -> None:
    """A binary column whose offsets point far outside its data; the manifest agrees with the bytes."""
    parquet_file(tmp_path / "in" / "x.parquet", {"image": pngs(COUNT), "label": [0, 1] * 4})
    packed(f"parquet:{tmp_path / 'in'}", tmp_path / "set")
    first = read_manifest(tmp_path / "set").shards[0]
    path = tmp_path / "set" / first.path
    raw = bytearray(path.read_bytes())
    batch = ShardReader(tmp_path / "set").batches(first)[0]
    offsets = batch.column("image").buffers()[1].to_pybytes()
    at = raw.index(offsets[:16])
    raw[at + 4 : at + 8] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(raw)
    edit(tmp_path / "set", put("shards", 0, "sha256", sha256_of(path)))
    assert any("is damaged" in line for line in verify(tmp_path / "set", no_progress))


def test_names_that_hold_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    rows = {"image": pngs(COUNT), "label": ["[/x]", "[red]y"] * 4, "[/z]": [1] * COUNT}
    parquet_file(tmp_path / "in" / "x.parquet", rows)
    packed(f"parquet:{tmp_path / 'in'}", tmp_path / "set")
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "set")])
    assert result.exception is None


# Addresses


@pytest.mark.parametrize("path", ["../../../outside.arrow", "/outside.arrow", "x/../../../../outside.arrow"])
def test_a_manifest_at_an_address_does_not_leave_its_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "cache"))
    before = {p for p in tmp_path.rglob("*") if "cache" not in p.parts}
    edit(data, put("shards", 0, "path", path))
    for address in (f"file://{data}",):
        with pytest.raises(DataError, match="plain name|absolute"):
            ShardReader(place(address))
    assert {p for p in tmp_path.rglob("*") if "cache" not in p.parts} == before


# Two at once


def _pack(source: str, out: Path, seed: int, results: Any) -> None:
    try:
        pack(source, out, SplitPlan(0.25, 0.25, seed=seed), SourceOptions(shard_rows=2), no_progress)
        results.put((seed, ""))
    except DataError as error:
        results.put((seed, str(error)))


def test_of_several_packs_into_one_folder_one_wins(tmp_path: Path) -> None:
    parquet_file(tmp_path / "in" / "x.parquet", {"image": pngs(64), "label": [0, 1] * 32})
    fork = multiprocessing.get_context("fork")
    for attempt in range(3):
        out = tmp_path / f"out{attempt}"
        results = fork.Queue()
        workers = [fork.Process(target=_pack, args=(f"parquet:{tmp_path / 'in'}", out, s, results)) for s in range(4)]
        for worker in workers:
            worker.start()
        said = dict(results.get(timeout=60) for _ in workers)
        for worker in workers:
            worker.join()
        (winner,) = [seed for seed, line in said.items() if not line]
        assert all("already exists" in line or "made by another process" in line for line in said.values() if line)
        pack(f"parquet:{tmp_path / 'in'}", tmp_path / f"alone{attempt}", SplitPlan(0.25, 0.25, seed=winner),
             SourceOptions(shard_rows=2), no_progress)  # fmt: skip
        assert read_manifest(out).digest == read_manifest(tmp_path / f"alone{attempt}").digest
        assert verify(out, no_progress) == []
    assert not list(tmp_path.glob(".*"))


def test_the_loser_leaves_the_winners_data(tmp_path: Path) -> None:
    parquet_file(tmp_path / "in" / "x.parquet", {"image": pngs(COUNT), "label": [0, 1] * 4})
    out = tmp_path / "out"

    def meanwhile(done: int, total: int) -> None:
        if not out.exists():
            pack(f"parquet:{tmp_path / 'in'}", tmp_path / "other", SplitPlan(0.25, 0.25), SourceOptions(), no_progress)
            (tmp_path / "other").rename(out)

    with pytest.raises(DataError, match="made by another process meanwhile"):
        pack(f"parquet:{tmp_path / 'in'}", out, SplitPlan(0.25, 0.25, seed=5), SourceOptions(), meanwhile)
    assert verify(out, no_progress) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_an_address_that_holds_data_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "one"))
    out = f"file://{tmp_path / 'bucket' / 'set'}"
    parquet_file(tmp_path / "in" / "x.parquet", {"image": [png(n) for n in range(COUNT)], "label": [0, 1] * 4})
    packed(f"parquet:{tmp_path / 'in'}", place(out))
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "another-machine"))
    with pytest.raises(DataError, match="already exists"):
        packed(f"parquet:{tmp_path / 'in'}", place(out))


def test_the_digest_does_not_depend_on_notes(data: Path) -> None:
    manifest = read_manifest(data)
    other = dataclasses.replace(manifest, notes={"left out": 3}, label_values=(1, 2))
    assert other.digest == manifest.digest
