from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cu_core.data.convert import SplitPlan, pack
from cu_core.data.schema import read_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions
from cu_core.data.verify import verify
from cu_core.errors import DataError
from tests.conftest import FASHION, pack_quietly


def no_progress(done: int, total: int) -> None:
    return


def png(value: int, size: int = 12) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            (tmp_path / "images" / name / f"{i}.png").write_bytes(png(100 * number + i))
    return tmp_path / "images"


def all_rows(reader: ShardReader) -> dict[int, tuple[int, int]]:
    """sample_id -> (label, sum of pixels), over all splits."""
    found = {}
    for split in ("train", "val", "test"):
        rows = np.arange(reader.num_rows(split))
        if len(rows):
            images = reader.images(split, rows).sum((1, 2, 3)).tolist()
            ids, labels = reader.sample_ids(split, rows).tolist(), reader.labels(split, rows).tolist()
            found |= dict(zip(ids, zip(labels, images, strict=True), strict=True))
    return found


def test_digits_arrive_whole_in_three_splits(reader: ShardReader) -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = (bunch.images * (255 / 16)).round().astype(int).sum((1, 2))
    want = {i: (int(y), int(p)) for i, (y, p) in enumerate(zip(bunch.target, pixels, strict=True))}
    assert all_rows(reader) == want
    assert [reader.num_rows(s) for s in ("train", "val", "test")] == [1079, 359, 359]


def test_image_folders_and_parquet_hold_the_same_images(image_folder: Path, tmp_path: Path) -> None:
    packed = pack_quietly(f"folder:{image_folder}", tmp_path / "a", SplitPlan(val_frac=0.25, test_frac=0.25))
    reader = ShardReader(packed, image_size=8)
    assert reader.manifest.class_names == ("cat", "dog")
    found = all_rows(reader)
    assert sorted(found.values()) == sorted([(n, 3 * 64 * (100 * n + i)) for n in range(2) for i in range(6)])

    (tmp_path / "pq").mkdir()
    table = pa.table(
        {
            "id": range(12),
            "img": [{"bytes": png(v)} for v in range(12)],
            "kind": ["a", "b"] * 6,
            "user_id": [i % 3 for i in range(12)],
        }
    )
    pq.write_table(table, tmp_path / "pq" / "part.parquet")
    options = SourceOptions(columns={"sample_id": "id", "image": "img", "label": "kind"})
    manifest = pack(f"parquet:{tmp_path / 'pq'}", tmp_path / "b", SplitPlan(0.25, 0.25), options, no_progress)
    assert manifest.extra_columns == ("user_id",)
    assert manifest.class_names == ("a", "b")
    assert all_rows(ShardReader(tmp_path / "b", 8)) == {i: (i % 2, 3 * 64 * i) for i in range(12)}


def test_arrow_shards_are_registered_where_they_lie(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        (tmp_path / "mine" / split).mkdir(parents=True)
        ids = pa.array([1, 2, 3] if split == "train" else [4, 5] if split == "val" else [6])
        table = pa.table({"key": ids, "picture": [png(int(i)) for i in ids.to_numpy()], "y": [0] * len(ids)})
        with pa.ipc.new_file(str(tmp_path / "mine" / split / "0.arrow"), table.schema) as out:
            out.write_table(table, max_chunksize=2)
    before = {p: p.read_bytes() for p in (tmp_path / "mine").rglob("*.arrow")}
    options = SourceOptions(columns={"sample_id": "key", "image": "picture", "label": "y"})
    pack(f"arrow:{tmp_path / 'mine'}", tmp_path / "index", SplitPlan(), options, no_progress)
    assert sorted(p.name for p in (tmp_path / "index").iterdir()) == ["manifest.json"]
    assert {p: p.read_bytes() for p in before} == before
    assert all_rows(ShardReader(tmp_path / "index", 4)) == {i: (0, 48 * i) for i in range(1, 7)}
    assert verify(tmp_path / "index", no_progress) == []


def test_an_interrupted_pack_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack("digits", tmp_path / "d", SplitPlan(), SourceOptions(), interrupt)
    assert list(tmp_path.iterdir()) == []
    pack_quietly("digits", tmp_path / "d")
    assert read_manifest(tmp_path / "d").num_rows("train") == 1079


@pytest.mark.fashion_mnist
def test_fashion_mnist_idx_files_gzipped_or_not(tmp_path: Path) -> None:
    packed = pack_quietly(f"fashion-mnist:{FASHION}", tmp_path / "gz", SplitPlan(0.2, train_rows=500))
    assert [ShardReader(packed).num_rows(s) for s in ("train", "val", "test")] == [500, 12_000, 10_000]
    (tmp_path / "plain").mkdir()
    for path in FASHION.glob("*.gz"):
        (tmp_path / "plain" / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    plain = pack_quietly(f"fashion-mnist:{tmp_path / 'plain'}", tmp_path / "out", SplitPlan(0.2, train_rows=500))
    assert read_manifest(plain).digest == read_manifest(packed).digest


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nonsense", "unknown source"),
        ("/usr", "Say how to read it, e.g. folder:/usr"),
        ("folder:/nowhere", "no such folder"),
        ("fashion-mnist:/nowhere", "dataset-fashion-mnist"),
        ("torchvision:CIFAR11:x", "must be torchvision:NAME:DIR"),
        ("torchvision:CIFAR10:/nowhere", "--download"),
        ("parquet:/nowhere", "no .*parquet file"),
        ("arrow:/nowhere", "no .*arrow file"),
    ],
)
def test_sources_that_are_not_there(source: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        pack(source, tmp_path / "out", SplitPlan(), SourceOptions(), no_progress)
    assert list(tmp_path.iterdir()) == []


def test_shards_of_large_images_have_fewer_rows(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cu_core.data.shard_writer.SHARD_BYTES", 400)
    monkeypatch.setattr("cu_core.data.folder_source.CHUNK_FILES", 2)
    packed = pack_quietly(f"folder:{image_folder}", tmp_path / "a", SplitPlan(val_frac=0, test_frac=0))
    reader = ShardReader(packed, image_size=8)
    assert 2 < len(reader.manifest.shards) < 12
    assert len(all_rows(reader)) == 12
    assert verify(packed, no_progress) == []


@pytest.mark.parametrize("options", [SourceOptions(skip_bad=True), SourceOptions(decode_size=8)])
def test_registered_shards_are_not_rewritten(options: SourceOptions, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    table = pa.table({"sample_id": [1], "image": [png(0)], "label": [0]})
    with pa.ipc.new_file(str(tmp_path / "mine" / "a.arrow"), table.schema) as out:
        out.write_table(table)
    with pytest.raises(DataError, match="--.* needs rows that are written"):
        pack(f"arrow:{tmp_path / 'mine'}", tmp_path / "index", SplitPlan(), options, no_progress)
