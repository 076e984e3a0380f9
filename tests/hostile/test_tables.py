"""Ids, layouts and labels of tables as people bring them: read as plainly meant, or refused in one line."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cu_core.data.sample_ids import hashed_id
from cu_core.data.verify import verify
from tests.hostile.table_inputs import (
    COUNT,
    classes_by_pixel,
    columns,
    packed,
    parquet_file,
    png,
    pngs,
    refused,
    rows_of,
)

# Ids


def test_ids_are_made_of_the_content_where_there_are_none(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", columns())
    one = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "one")
    table = pa.table(columns())
    parquet_file(tmp_path / "b" / "y.parquet", table.slice(4))
    parquet_file(tmp_path / "b" / "z.parquet", table.slice(0, 4))
    two = packed(f"parquet:{tmp_path / 'b'}", tmp_path / "two")
    assert rows_of(one, "sample_id") == rows_of(two, "sample_id") == sorted(hashed_id(image) for image in pngs(COUNT))
    assert one.manifest.notes["sample_id made, 63 bits of the SHA-256 of the content of the image"] == COUNT
    assert verify(tmp_path / "one", lambda done, total: None) == []


def test_equal_images_get_ids_of_their_own(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", {"image": [png(1)] * COUNT, "label": [0, 1] * 4})
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    assert len(set(rows_of(reader, "sample_id"))) == COUNT
    assert reader.manifest.notes["equal byte by byte to an earlier image, sample_id numbered"] == COUNT - 1


UUIDS = [uuid.uuid5(uuid.NAMESPACE_URL, str(number)) for number in range(COUNT)]


@pytest.mark.parametrize(
    ("ids", "texts"),
    [
        (pa.array([f"img-{n}" for n in range(COUNT)]), [f"img-{n}" for n in range(COUNT)]),
        (pa.array([f"{n:03d}" for n in range(COUNT)]), [f"{n:03d}" for n in range(COUNT)]),
        (pa.array([2**63 + n for n in range(COUNT)], pa.uint64()), [str(2**63 + n) for n in range(COUNT)]),
        (pa.array([u.bytes for u in UUIDS], pa.binary(16)), [str(u) for u in UUIDS]),
        (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([u.bytes for u in UUIDS], pa.binary(16))),
         [str(u) for u in UUIDS]),
    ],
    ids=["text", "leading zeros", "uint64", "16 bytes", "arrow.uuid"],
)  # fmt: skip
def test_any_unique_id_is_an_id(tmp_path: Path, ids: pa.Array, texts: list[str]) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", columns(key=ids))
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out", columns={"sample_id": "key"})
    assert reader.manifest.columns["own_id"] == "key"
    assert sorted(rows_of(reader, "key")) == sorted(texts)
    assert rows_of(reader, "sample_id") == [hashed_id(text) for text in rows_of(reader, "key")]


@pytest.mark.parametrize(
    "ids", [[n + 5 for n in range(COUNT)], [str(n + 5) for n in range(COUNT)], [n + 5.0 for n in range(COUNT)]]
)
def test_whole_numbers_are_their_own_sample_id(tmp_path: Path, ids: list[Any]) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", columns(sample_id=ids))
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    assert rows_of(reader, "sample_id") == [n + 5 for n in range(COUNT)]
    assert reader.manifest.columns == {}


def test_an_own_column_sample_id_of_text_is_kept(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", columns(sample_id=[f"s{n}" for n in range(COUNT)]))
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    assert reader.manifest.columns["own_id"] == "own_id"
    assert sorted(rows_of(reader, "own_id")) == [f"s{n}" for n in range(COUNT)]


def test_an_id_twice_over_two_files_is_refused_with_both_rows(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a" / "test.parquet", columns(sample_id=list(range(COUNT))))
    parquet_file(tmp_path / "a" / "train.parquet", columns(sample_id=list(range(7, 15))))
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out",
            r"1 ids occur more than once: '7' \(test.parquet row 7 and train.parquet row 0\)")  # fmt: skip


@pytest.mark.parametrize(
    ("ids", "match"),
    [
        ([None, *range(1, COUNT)], "1 rows have no id: x.parquet row 0"),
        (["", *map(str, range(1, COUNT))], "1 rows have no id: x.parquet row 0"),
        ([0.5, *[float(n) for n in range(1, COUNT)]], "ids must be whole numbers or text"),
        ([float("nan"), *[float(n) for n in range(1, COUNT)]], "ids must be whole numbers or text"),
        ([[n] for n in range(COUNT)], "ids must be whole numbers, text or UUIDs, not list"),
        ([True] * COUNT, "ids must be whole numbers, text or UUIDs, not bool"),
    ],
)
def test_what_is_no_id(tmp_path: Path, ids: list[Any], match: str) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", columns(sample_id=ids))
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", match)


# Layouts and splits


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("default/train/0000.parquet", "train"),
        ("default/validation/0000.parquet", "val"),
        ("default/partial-test/0000.parquet", "test"),
        ("data/name-train-00000-of-00002.parquet", "train"),
        ("cc3m-validation-0000.parquet", "val"),
        ("my-test-train-00000-of-00002.parquet", "train"),
        ("Valid/0.parquet", "val"),
        ("dev.parquet", "val"),
        ("testimonials.parquet", "train"),
        ("trainer/latest.parquet", "train"),
    ],
)
def test_the_split_is_a_whole_word_of_file_or_folder(tmp_path: Path, name: str, split: str) -> None:
    parquet_file(tmp_path / "a" / name, columns())
    parquet_file(tmp_path / "a" / "other" / "more.parquet", {"image": pngs(COUNT, 100), "label": [0, 1] * 4})
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    note = next(n for n in reader.manifest.notes if n.startswith(f"{split}: rows of") and name in n)
    assert ("no split in the name" in note) == (name in ("testimonials.parquet", "trainer/latest.parquet"))
    assert reader.num_rows(split) >= COUNT / 2  # type: ignore[arg-type]


def test_hidden_files_are_left_out_and_counted(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", columns())
    (tmp_path / "a" / "._x.parquet").write_bytes(b"macOS")
    (tmp_path / "a" / ".cache").mkdir()
    (tmp_path / "a" / ".cache" / "y.parquet").write_bytes(b"half")
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    assert [count for note, count in reader.manifest.notes.items() if "hidden" in note] == [2]


def hub_schema(**features: Any) -> bytes:
    import json

    return json.dumps({"info": {"features": features}}).encode()


def test_class_names_and_the_image_column_come_from_hugging_faces_metadata(tmp_path: Path) -> None:
    table = pa.table({"img": [{"bytes": p, "path": None} for p in pngs(COUNT)], "fine": [0, 2] * 4})
    features = hub_schema(img={"_type": "Image"}, fine={"names": ["ant", "bee", "cow"], "_type": "ClassLabel"})
    parquet_file(tmp_path / "a" / "x.parquet", table.replace_schema_metadata({b"huggingface": features}))
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    assert reader.manifest.class_names == ("ant", "bee", "cow")
    assert classes_by_pixel(reader) == {n: ("ant", "cow")[n % 2] for n in range(COUNT)}


def test_a_label_outside_the_metadatas_names_is_refused(tmp_path: Path) -> None:
    features = hub_schema(label={"names": ["ant", "bee"], "_type": "ClassLabel"})
    table = pa.table({"image": pngs(COUNT), "label": [0, -1] * 4}).replace_schema_metadata({b"huggingface": features})
    parquet_file(tmp_path / "a" / "x.parquet", table)
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", "labels name none of the file's 2 classes: -1")


@pytest.mark.parametrize(
    "content", [b"[", b"[" * 100_000, b"[]", b"3", b'{"info": null}', b'{"info": {"features": 1}}']
)
def test_metadata_of_other_shapes_is_no_metadata(tmp_path: Path, content: bytes) -> None:
    table = pa.table(columns()).replace_schema_metadata({b"huggingface": content})
    parquet_file(tmp_path / "a" / "x.parquet", table)
    assert packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out").manifest.class_names == ("0", "1")


# Labels


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([0.0, 11.0, 2.0, 10.0] * 2, ("0", "2", "10", "11")),
        ([1, 2, 3, 4] * 2, ("1", "2", "3", "4")),
        ([3, 7, 100_000, 7] * 2, ("3", "7", "100000")),
        ([-1, 0, 1, 2] * 2, ("-1", "0", "1", "2")),
        ([10**8, 2**62, 5, 5] * 2, ("5", "100000000", str(2**62))),
        (["dog", "cat", "dog ", "cat"] * 2, ("cat", "dog")),
        (["caf\u00e9", "cafe\u0301", "tea", "tea"] * 2, ("caf\u00e9", "tea")),
        (["10", "9", "11", "9"] * 2, ("9", "10", "11")),
        (["10.0", "9.0", "11.0", "9"] * 2, ("9", "10", "11")),
        ([True, False] * 4, ("0", "1")),
        (pa.array(["a", "b"] * 4).dictionary_encode(), ("a", "b")),
    ],
    ids=[
        "floats",
        "from 1",
        "gaps",
        "negative",
        "huge",
        "text",
        "normal forms",
        "digits",
        "floats as text",
        "booleans",
        "categories",
    ],
)
def test_distinct_labels_become_classes(tmp_path: Path, values: Any, names: tuple[str, ...]) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", {"image": pngs(COUNT), "label": values})
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    assert reader.manifest.class_names == names
    numbers = values.to_pylist() if isinstance(values, pa.Array) else values
    given = Counter(str(int(v)) if isinstance(v, float | bool) else str(v).strip().removesuffix(".0") for v in numbers)
    if names != ("caf\u00e9", "tea"):
        assert Counter(classes_by_pixel(reader).values()) == given


def test_the_mapping_of_renumbered_labels_is_in_the_manifest(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", {"image": pngs(COUNT), "label": [3, 7, 100_000, 7] * 2})
    manifest = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out").manifest
    assert manifest.label_values == (3, 7, 100_000)
    assert manifest.notes["renumbered, labels 3, 7, 100000 to classes from 0 that are named by them"] == 3


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([0, None, 1, None, 1, 0, 1, 0], "2 rows have no label: x.parquet row 1, x.parquet row 3"),
        ([0.0, float("nan"), 1, 1, 1, 0, 1, 0], "1 rows have no label: x.parquet row 1"),
        ([0.0, 0.5, 1, 1, 1, 0, 1, 0], "1 rows have a label that is no whole number: x.parquet row 1"),
        ([0.0, float("inf"), 1, 1, 1, 0, 1, 0], "1 rows have a label that is no whole number: x.parquet row 1"),
        (["a", "", " ", "b", "b", "a", "b", "a"], "2 rows have no label: x.parquet row 1, x.parquet row 2"),
        (pa.array([2**63, *range(7)], pa.uint64()), "1 rows have a label beyond 64 bits"),
        ([[0]] * COUNT, "holds lists .*one label"),
        ([{"a": 1}] * COUNT, "labels must be whole numbers or text, not struct"),
        (pa.nulls(COUNT), "8 rows have no label"),
    ],
)
def test_labels_that_are_none_are_refused_with_their_rows(tmp_path: Path, values: Any, match: str) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", {"image": pngs(COUNT), "label": values})
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", match)


def test_an_id_taken_for_a_label_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cu_core.data.label_classes.MAX_CLASSES", 5)
    monkeypatch.setattr("cu_core.data.table_survey.MAX_CLASSES", 5)
    parquet_file(tmp_path / "a" / "x.parquet", {"image": pngs(COUNT), "label": list(range(COUNT))})
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", "8 distinct values; at most 5 classes")


def test_an_own_column_own_id_stays_beside_a_sample_id_of_text(tmp_path: Path) -> None:
    own = [f"own-{n}" for n in range(COUNT)]
    parquet_file(tmp_path / "a" / "x.parquet", columns(sample_id=[f"id-{n}" for n in range(COUNT)], own_id=own))
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    assert sorted(rows_of(reader, "own_id")) == own
    assert sorted(rows_of(reader, "sample_id_in_source")) == [f"id-{n}" for n in range(COUNT)]
    assert reader.manifest.columns == {"own_id": "sample_id_in_source"}


@pytest.mark.parametrize("name", ["split", "Split"])
def test_a_column_split_of_parquet_is_taken(tmp_path: Path, name: str) -> None:
    splits = ["train", "train", "train", "test", "train", "val", "test", "train"]
    parquet_file(tmp_path / "a" / "x.parquet", columns(number=list(range(COUNT)), **{name: splits}))
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    tests = [b["number"].to_pylist() for s in reader.manifest.split_shards("test") for b in reader.batches(s)]
    assert tests == [[3, 6]]
    assert [reader.num_rows(split) for split in ("train", "val", "test")] == [5, 1, 2]
