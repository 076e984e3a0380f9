from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cu_core.data.convert import SplitPlan, pack
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions
from cu_core.data.verify import verify
from cu_core.errors import DataError
from tests.unit.cu_core.data.test_convert import no_progress, png

PLAN = SplitPlan(val_frac=0.25, test_frac=0.25)


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def samples(count: int, first: int = 0) -> dict[str, bytes]:
    files = {}
    for i in range(first, first + count):
        files |= {f"{i:05d}.jpg": png(i), f"{i:05d}.txt": f"caption {i}".encode(), f"{i:05d}.json": b'{"url": "x"}'}
    return files


def packed(spec: str, out: Path, options: SourceOptions | None = None) -> ShardReader:
    pack(spec, out, PLAN, options or SourceOptions(), no_progress)
    return ShardReader(out, image_size=12)


def all_captions(reader: ShardReader) -> list[str]:
    splits = ("train", "val", "test")
    return sorted(t for s in splits for row in reader.captions(s, np.arange(reader.num_rows(s))) for t in row)


def test_tars_of_img2dataset(tmp_path: Path) -> None:
    write_tar(tmp_path / "in" / "00000.tar", samples(5))
    write_tar(tmp_path / "in" / "00001.tar", samples(3, first=5))
    reader = packed(f"webdataset:{tmp_path / 'in'}", tmp_path / "out")
    assert all_captions(reader) == [f"caption {i}" for i in range(8)]
    assert reader.num_rows("train") == 4
    assert verify(tmp_path / "out", no_progress) == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"0.jpg": png(1), "0.json": b"{}"}, "0 has no caption"),
        ({"0.jpg": png(1), "0.txt": b"  "}, "0 has no caption"),
        ({"0.txt": b"words"}, "0 has no image"),
        ({"0.jpg": png(1), "0.json": b"{"}, "does not read"),
    ],
)
def test_a_tar_with_an_incomplete_sample_is_named(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    write_tar(tmp_path / "in" / "00000.tar", samples(3) | {f"9{k}": v for k, v in files.items()})
    with pytest.raises(DataError, match=f"00000.tar: 9?{message}" if "read" not in message else message):
        packed(f"webdataset:{tmp_path / 'in'}", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_tar_and_a_folder_without_any(tmp_path: Path) -> None:
    write_tar(tmp_path / "in" / "00000.tar", samples(3))
    (tmp_path / "in" / "00000.tar").write_bytes((tmp_path / "in" / "00000.tar").read_bytes()[:700])
    with pytest.raises(DataError, match="damaged"):
        packed(f"webdataset:{tmp_path / 'in'}", tmp_path / "out")
    with pytest.raises(DataError, match=r"no \*.tar file"):
        packed(f"webdataset:{tmp_path / 'none'}", tmp_path / "out")


def coco_files(folder: Path, names: list[str]) -> Path:
    (folder / "images").mkdir(parents=True)
    for i in range(4):
        (folder / "images" / f"{i}.png").write_bytes(png(i))
    content = {
        "images": [{"id": 10 + i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [
            {"image_id": 10 + i, "caption": f"view {k} of {i}"} for i in range(len(names)) for k in range(2)
        ],
    }
    (folder / "captions_train2017.json").write_text(json.dumps(content))
    return folder / "captions_train2017.json"


def test_coco_captions_are_several_an_image(tmp_path: Path) -> None:
    file = coco_files(tmp_path / "in", [f"{i}.png" for i in range(4)])
    reader = packed(f"coco:{file}:{tmp_path / 'in' / 'images'}", tmp_path / "out")
    assert all_captions(reader) == [f"view {k} of {i}" for k in range(2) for i in range(4)]
    assert set(reader.sample_ids("train", np.arange(2)).tolist()) <= {10, 11, 12, 13}


@pytest.mark.parametrize("name", ["absent.png", "../captions_train2017.json"])
def test_coco_reads_files_of_its_folder_only(tmp_path: Path, name: str) -> None:
    file = coco_files(tmp_path / "in", [name])
    with pytest.raises(DataError, match="not a file in"):
        packed(f"coco:{file}:{tmp_path / 'in' / 'images'}", tmp_path / "out")


def test_parquet_pairs_need_no_label(tmp_path: Path) -> None:
    table = pa.table({"sample_id": range(8), "image": [png(i) for i in range(8)], "TEXT": [f"t {i}" for i in range(8)]})
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "train.parquet")
    reader = packed(f"parquet:{tmp_path / 'in'}", tmp_path / "out", SourceOptions(columns={"caption": "TEXT"}))
    assert all_captions(reader) == [f"t {i}" for i in range(8)]
    assert reader.manifest.class_names == ("pair",)


def test_captions_of_class_names(tmp_path: Path) -> None:
    templates = ("a photo of a {class}.", "the digit {class}")
    numbered = packed("digits", tmp_path / "numbered", SourceOptions(captions=("a {class}, number {id}",)))
    assert numbered.captions("val", np.arange(1)) == [
        [f"a {numbered.labels('val', np.arange(1))[0]}, number {numbered.sample_ids('val', np.arange(1))[0]}"]
    ]
    reader = packed("digits", tmp_path / "out", SourceOptions(captions=templates))
    rows = np.arange(reader.num_rows("train"))
    texts = [row[0] for row in reader.captions("train", rows)]
    labels = reader.labels("train", rows)
    shares = [
        np.mean([text == template.replace("{class}", str(label)) for text, label in zip(texts, labels, strict=True)])
        for template in templates
    ]
    assert sum(shares) == 1
    assert 0.4 < shares[0] < 0.6
    with pytest.raises(DataError, match="must hold {class}"):
        packed("digits", tmp_path / "other", SourceOptions(captions=("a photo",)))


def test_data_without_captions_says_how_to_get_them(reader: ShardReader) -> None:
    with pytest.raises(DataError, match="has no column caption; pack pairs"):
        reader.captions("train", np.arange(1))


def test_an_empty_caption_names_its_row(tmp_path: Path) -> None:
    """Beside labels a caption may be missing, until an image-text model asks for it."""
    table = pa.table({"image": [png(i) for i in range(4)], "caption": ["a", "", "b", "c"], "label": [0, 1, 0, 1]})
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "train.parquet")
    reader = packed(f"parquet:{tmp_path / 'in'}", tmp_path / "out")
    assert reader.manifest.notes["kept, an image-text model refuses them, rows without caption"] == 1
    with pytest.raises(DataError, match=r"shard .*row \d+: no caption"):
        all_captions(reader)
