"""WebDataset tars and caption files as people bring them: read as plainly meant, or refused in one line."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cu_core.data.sample_ids import hashed_id
from cu_core.errors import DataError
from tests.hostile.table_inputs import classes_by_pixel, image_files, json_file, packed, png, rows_of, tar_file

COUNT = 8
SPLITS = ("train", "val", "test")


def captions_of(reader: Any) -> list[str]:
    return sorted(t for s in SPLITS for row in reader.captions(s, np.arange(reader.num_rows(s))) for t in row)


def samples(prefix: str = "", first: int = 0, **more: bytes) -> list[tuple[str, bytes]]:
    return [
        (f"{prefix}{n:05d}.{kind}", content)
        for n in range(first, first + COUNT)
        for kind, content in {"jpg": png(n), "txt": f"caption {n}".encode(), **more}.items()
    ]


def refused(spec: str, out: Path, match: str, **options: Any) -> None:
    with pytest.raises(DataError, match=match) as caught:
        packed(spec, out, **options)
    assert len(str(caught.value)) < 3000
    assert not out.exists()


# WebDataset


@pytest.mark.parametrize("prefix", ["", "./", "train.v1/", "a/b.c/", "shard.0/x/"])
def test_the_key_ends_at_the_first_dot_of_the_base_name(tmp_path: Path, prefix: str) -> None:
    tar_file(tmp_path / "a" / "00000.tar", samples(prefix))
    reader = packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")
    assert captions_of(reader) == [f"caption {n}" for n in range(COUNT)]
    folder = "" if prefix == "./" else prefix
    assert set(rows_of(reader, "sample_id")) == {hashed_id(f"00000.tar/{folder}{n:05d}") for n in range(COUNT)}


def test_suffixes_of_several_parts_and_members_that_are_not_read(tmp_path: Path) -> None:
    tar_file(tmp_path / "a" / "0.tar", samples() + samples(**{"seg.npy": b"x"})[2::3])
    reader = packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")
    assert reader.manifest.notes["left out, members that are not read (.seg.npy)"] == COUNT


def test_two_images_of_a_sample_ask_for_a_choice(tmp_path: Path) -> None:
    tar_file(tmp_path / "a" / "0.tar", samples(**{"mask.png": png(99)}))
    refused(f"webdataset:{tmp_path / 'a'}", tmp_path / "out", "has several images: .jpg, .mask.png; choose one")
    reader = packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out", columns={"image": "jpg"})
    assert sorted(classes_by_pixel(reader)) == list(range(COUNT))


def test_hidden_members_are_left_out_and_counted(tmp_path: Path) -> None:
    hidden = [("._00000.jpg", b"x"), ("__MACOSX/00000.jpg", b"x"), (".DS_Store", b"x")]
    tar_file(tmp_path / "a" / "0.tar", hidden + samples())
    reader = packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")
    assert reader.manifest.notes["left out, hidden members of tars"] == 3


@pytest.mark.parametrize(
    ("labels", "names"), [(["0", "7", "10", "7"], ("0", "7", "10")), (["dog\n", "cat", "dog", "cat"], ("cat", "dog"))]
)
def test_cls_is_the_label(tmp_path: Path, labels: list[str], names: tuple[str, ...]) -> None:
    files = [(f"{n}.png", png(n)) for n in range(COUNT)] + [(f"{n}.cls", labels[n % 4].encode()) for n in range(COUNT)]
    tar_file(tmp_path / "a" / "0.tar", sorted(files))
    reader = packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")
    assert reader.manifest.class_names == names
    assert classes_by_pixel(reader) == {n: labels[n % 4].strip() for n in range(COUNT)}


def test_json_becomes_columns_of_the_type_that_fits(tmp_path: Path) -> None:
    values = [{"w": n, "sim": n / 2 if n else 1, "url": f"u{n}", "exif": {"a": n}, "mixed": n if n % 2 else "x",
               "nsfw": None, "big": 2**70, "key": "own"} for n in range(COUNT)]  # fmt: skip
    files = [(f"{n}.{k}", c) for n in range(COUNT) for k, c in
             (("jpg", png(n)), ("json", json.dumps({**values[n], "caption": f"c{n}"}).encode()))]  # fmt: skip
    tar_file(tmp_path / "a" / "0.tar", files)
    reader = packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")
    assert captions_of(reader) == [f"c{n}" for n in range(COUNT)]
    assert sorted(rows_of(reader, "w")) == list(range(COUNT))
    assert sorted(rows_of(reader, "sim")) == sorted(float(v["sim"]) for v in values)  # type: ignore[arg-type]
    assert '{"a": 3}' in rows_of(reader, "exif")
    assert set(rows_of(reader, "mixed")) == {"1", "3", "5", "7", "x"}
    assert rows_of(reader, "big") == [str(2**70)] * COUNT
    assert rows_of(reader, "key_in_json") == ["own"] * COUNT
    assert reader.manifest.notes["renamed, 'key' of the .json files to 'key_in_json'"] == 1


def test_more_keys_than_columns_stay_one_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cu_core.data.json_columns.MOST_COLUMNS", 4)
    tar_file(tmp_path / "a" / "0.tar", samples(json=json.dumps({f"k{i}": i for i in range(9)}).encode()))
    reader = packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")
    assert json.loads(rows_of(reader, "metadata")[0])["k8"] == 8


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar"])
def test_compressed_tars_are_judged_by_content(tmp_path: Path, name: str) -> None:
    tar_file(tmp_path / "a" / name, samples(), "w:gz")
    assert captions_of(packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")) == [
        f"caption {n}" for n in range(COUNT)
    ]


def test_members_of_a_key_that_lie_apart(tmp_path: Path) -> None:
    files = sorted(samples(), key=lambda pair: pair[0][-3:])
    tar_file(tmp_path / "a" / "0.tar", files)
    assert captions_of(packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")) == [
        f"caption {n}" for n in range(COUNT)
    ]
    tar_file(tmp_path / "b" / "0.tar.gz", files, "w:gz")
    refused(f"webdataset:{tmp_path / 'b'}", tmp_path / "out2", r"'0000\d' do not lie together.*gunzip")


def test_the_split_comes_from_the_folder(tmp_path: Path) -> None:
    tar_file(tmp_path / "a" / "train" / "00000.tar", samples())
    tar_file(tmp_path / "a" / "val" / "00001.tar", samples(first=50))
    reader = packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")
    assert reader.num_rows("val") == COUNT


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ([("9.jpg", png(1)), ("9.json", b"[1]")], "9.json must hold an object of names and values, not list"),
        ([("9.jpg", png(1)), ("9.json", b"7")], "9.json must hold an object"),
        ([("9.jpg", png(1)), ("9.json", b"[" * 100_000)], "9.json does not read.*nested too deep"),
        ([("9.jpg", png(1)), ("9.json", b'{"a": "\\ud800"}')], "half of a surrogate pair"),
        ([("9.jpg", png(1)), ("9.json", b'{"\\ud800": 1}')], "half of a surrogate pair"),
        ([("9.jpg", png(1)), ("9.json", b'{"caption": 5}')], "the caption must be text or a list of texts"),
        ([("9.jpg", png(1)), ("9.json", b"9" * 5000)], "9.json does not read"),
        ([("9.jpg", png(1)), ("9.json", b"\xff\xfe{")], "9.json does not read"),
        ([("9.jpg", png(1)), ("9.txt", b"\xff")], "9: its text does not read"),
        ([("9.jpg", png(1)), ("9.txt", b" \n")], "9 has no caption"),
        ([("9.jpg", png(1)), ("9.json", b'{"cat": 1}')], "9 has no caption .*or --column label=KEY of .json"),
        ([("9.txt", b"words")], "9 has no image"),
        ([("9.jpg", png(1)), ("9.txt", b"a"), ("9.jpg", png(1))], "'9.jpg' occurs more than once"),
        ([("\udcff.jpg", png(1))], "has a name that is not UTF-8"),
    ],
)
def test_samples_that_cannot_be_used_are_named(tmp_path: Path, files: list[tuple[str, bytes]], match: str) -> None:
    tar_file(tmp_path / "a" / "0.tar", samples() + files)
    refused(f"webdataset:{tmp_path / 'a'}", tmp_path / "out", match)


def test_all_samples_that_cannot_be_used_are_named_at_once(tmp_path: Path) -> None:
    bad = [("8.jpg", png(1)), ("9.txt", b"a"), ("10.jpg", png(1)), ("10.json", b"[]")]
    tar_file(tmp_path / "a" / "0.tar", samples() + bad)
    with pytest.raises(DataError) as caught:
        packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")
    for problem in ("9 has no image", "10.json must hold an object", "8 has no caption"):
        assert problem in str(caught.value)


def test_a_sample_without_a_label_among_others(tmp_path: Path) -> None:
    tar_file(tmp_path / "a" / "0.tar", samples(cls=b"3") + [("9.jpg", png(1)), ("9.txt", b"x")])
    refused(f"webdataset:{tmp_path / 'a'}", tmp_path / "out", "9 has no label: no .cls")


def lying_header(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo("big.jpg")
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("size", [6 * 2**30, 2**62, -512])
def test_a_member_or_header_that_claims_gigabytes(tmp_path: Path, kind: bytes, size: int) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.tar").write_bytes(lying_header(size, kind) + b"\0" * 2048)
    refused(f"webdataset:{tmp_path / 'a'}", tmp_path / "out", "damaged|more than --max-file-mb")


def test_a_member_beyond_the_bound_and_a_compressed_bomb(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with gzip.open(bomb, "wb") as out:
        out.write(lying_header(8 * 2**20) + b"\0" * (8 * 2**20) + b"\0" * 1024)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.tar.gz").write_bytes(bomb.getvalue())
    refused(
        f"webdataset:{tmp_path / 'a'}",
        tmp_path / "out",
        "'big.jpg' has 8 MiB, more than --max-file-mb 1",
        max_file_mb=1,
    )


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"not a tar" * 100, b"\x1f\x8b\x08" + b"\xff" * 600])
def test_a_file_that_is_no_tar(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.tar").write_bytes(content)
    refused(f"webdataset:{tmp_path / 'a'}", tmp_path / "out", "0.tar is damaged")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_that_was_cut_off(tmp_path: Path, mode: str) -> None:
    path = tar_file(tmp_path / "a" / "0.tar", samples(), mode)
    path.write_bytes(path.read_bytes()[: 700 if mode == "w" else -40])
    refused(f"webdataset:{tmp_path / 'a'}", tmp_path / "out", "0.tar is damaged")


# COCO and Karpathy


def coco_content(**more: Any) -> dict[str, Any]:
    images = [{"id": 10 + n, "file_name": f"{n}.png"} for n in range(COUNT)]
    annotations = [{"image_id": 10 + n, "caption": f"view {k} of {n}"} for n in range(COUNT) for k in range(2)]
    return {"images": images, "annotations": annotations, **more}


def coco(tmp_path: Path, content: Any, name: str = "captions_train2017.json") -> str:
    image_files(tmp_path / "images", COUNT)
    return f"coco:{json_file(tmp_path / name, content)}:{tmp_path / 'images'}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_captions_file_in_any_unicode(tmp_path: Path, encoding: str) -> None:
    reader = packed(coco(tmp_path, json.dumps(coco_content()).encode(encoding)), tmp_path / "out")
    assert captions_of(reader) == sorted(f"view {k} of {n}" for n in range(COUNT) for k in range(2))
    assert rows_of(reader, "sample_id") == [10 + n for n in range(COUNT)]


def test_ids_of_text_and_of_any_size(tmp_path: Path) -> None:
    content = coco_content()
    names = ["a", "b", 2**70, 5, 6.0, "7", "x y", "\u00e9"]
    for image, name in zip(content["images"], names, strict=True):
        old, image["id"] = image["id"], name
        for annotation in content["annotations"]:
            annotation["image_id"] = name if annotation["image_id"] == old else annotation["image_id"]
    reader = packed(coco(tmp_path, content), tmp_path / "out")
    assert sorted(rows_of(reader, "id")) == sorted(["a", "b", str(2**70), "5", "6", "7", "x y", "\u00e9"])
    assert reader.manifest.columns["own_id"] == "id"


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    content: Any = coco_content()
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return content  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (changed(["images"], None), "no list 'images'"),
        (changed(["annotations"], {}), "no list 'annotations'"),
        ([], "no list 'images'"),
        (7, "no list 'images'"),
        (changed(["images"], []), "names no image"),
        (changed(["images", 3], 7), r"1 images have no id .* and file_name .*: images\[3\]"),
        (changed(["images", 3, "id"], None), r"1 images have no id .*images\[3\]"),
        (changed(["images", 3, "id"], float("inf")), r"1 images have no id .*images\[3\]"),
        (changed(["images", 3, "id"], float("nan")), r"1 images have no id .*images\[3\]"),
        (changed(["images", 3, "id"], 1.5), r"1 images have no id .*images\[3\]"),
        (changed(["images", 3, "id"], [1]), r"1 images have no id .*images\[3\]"),
        (changed(["images", 3, "id"], True), r"1 images have no id .*images\[3\]"),
        (changed(["images", 3, "id"], 10), r"1 image ids occur more than once: '10' of images\[3\]"),
        (changed(["images", 3, "file_name"], None), r"file_name .*images\[3\]"),
        (changed(["images", 3, "file_name"], "a\0b.png"), "1 paths are not a file in"),
        (changed(["images", 3, "file_name"], "../captions_train2017.json"), "1 paths are not a file in"),
        (changed(["images", 3, "file_name"], "/etc/passwd"), "1 paths are not a file in"),
        (changed(["images", 3, "file_name"], "gone.png"), "1 paths are not a file in"),
        (changed(["annotations", 3, "image_id"], 999), r"1 annotations name no image: annotations\[3\]"),
        (changed(["annotations", 3, "caption"], 5), r"1 annotations have no image_id and caption: annotations\[3\]"),
        (changed(["annotations", 3], []), r"1 annotations have no image_id and caption"),
        (changed(["annotations"], [{"image_id": 10, "category_id": 3, "bbox": []}]), "8 rows have no caption"),
        (b'{"images": [{"id": 1, "file_name": "\\ud800"}], "annotations": []}', "half of a surrogate pair"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"images": ' + b"9" * 5000 + b"}", "is not JSON that can be read"),
        (b"", "is not JSON that can be read"),
        (b"\xff\x00\x12", "is not JSON that can be read"),
    ],
)
def test_a_captions_file_that_cannot_be_used(tmp_path: Path, content: Any, match: str) -> None:
    refused(coco(tmp_path, content), tmp_path / "out", match)


def test_null_and_missing_captions(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"][0]["caption"] = None  # image 0 has another one
    reader = packed(coco(tmp_path, content), tmp_path / "out")
    assert len(captions_of(reader)) == 2 * COUNT - 1
    assert "None" not in captions_of(reader)
    assert reader.manifest.notes["not used, empty captions beside others of their row"] == 1
    content["annotations"][1]["caption"] = "  "
    refused(coco(tmp_path, content), tmp_path / "out2", "1 rows have no caption: captions_train2017.json row 0")
    reader = packed(coco(tmp_path, content), tmp_path / "out3", skip_empty_captions=True)
    assert sum(reader.num_rows(s) for s in SPLITS) == COUNT - 1  # type: ignore[arg-type]


def test_a_json_beyond_the_bound(tmp_path: Path) -> None:
    refused(coco(tmp_path, b" " * (2**20 + 1)), tmp_path / "out", "more than --max-file-mb 1", max_file_mb=1)


def karpathy(split: str = "val", **more: Any) -> dict[str, Any]:
    images = [
        {"filename": f"{n}.png", "split": ("train", "restval", split, "test")[n % 4], "imgid": n,
         "sentences": [{"raw": f"view {k} of {n}", "tokens": []} for k in range(2)], **more}
        for n in range(COUNT)
    ]  # fmt: skip
    return {"images": images, "dataset": "flickr30k"}


def test_karpathys_splits(tmp_path: Path) -> None:
    reader = packed(coco(tmp_path, karpathy(), "dataset_flickr30k.json"), tmp_path / "out")
    assert [reader.num_rows(s) for s in SPLITS] == [4, 2, 2]  # type: ignore[arg-type]
    assert captions_of(reader) == sorted(f"view {k} of {n}" for n in range(COUNT) for k in range(2))
    assert rows_of(reader, "sample_id") == list(range(COUNT))
    nested = karpathy(filepath="images")
    image_files(tmp_path / "root" / "images", COUNT)
    file = json_file(tmp_path / "dataset_coco.json", nested)
    assert packed(f"coco:{file}:{tmp_path / 'root'}", tmp_path / "two").num_rows("train") == 4


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (karpathy("holdout"), "2 images have a split that is none of train, restval, val, test"),
        (karpathy(imgid=3), "7 images have a imgid that is no id or occurs more than once"),
        (karpathy(sentences=[{"tokens": []}]), "8 rows have no caption"),
        (karpathy(sentences=[5]), "8 images have sentences without raw text"),
        (karpathy(sentences=5), r"8 images have no filename .* and sentences"),
        (karpathy(filename=5), r"8 images have no filename"),
    ],
)
def test_karpathys_layout_that_lies(tmp_path: Path, content: Any, match: str) -> None:
    refused(coco(tmp_path, content), tmp_path / "out", match)
