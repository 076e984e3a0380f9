"""Images, captions and files of tables, Hugging Face folders and CSV: read as plainly meant, or refused in one line."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.hostile.table_inputs import (
    COUNT,
    classes_by_pixel,
    columns,
    image_files,
    json_file,
    packed,
    parquet_file,
    png,
    pngs,
    refused,
    rows_of,
    stream_file,
)

# Images


def test_images_by_path_are_opened_beside_the_file(tmp_path: Path) -> None:
    image_files(tmp_path / "a" / "images", COUNT)
    paths = [f"images/{number}.png" for number in range(COUNT)]
    parquet_file(tmp_path / "a" / "x.parquet", {"image": paths, "label": [0, 1] * 4})
    assert classes_by_pixel(packed(f"parquet:{tmp_path / 'a'}", tmp_path / "one")) == {n: str(n % 2) for n in range(8)}
    structs = [{"bytes": None if n % 2 else png(n), "path": paths[n]} for n in range(COUNT)]
    parquet_file(tmp_path / "a" / "x.parquet", {"image": structs, "label": [0, 1] * 4})
    assert classes_by_pixel(packed(f"parquet:{tmp_path / 'a'}", tmp_path / "two")) == {n: str(n % 2) for n in range(8)}


@pytest.mark.parametrize(
    ("images", "match"),
    [
        ([*pngs(6), None, None], "2 rows have no image: x.parquet row 6, x.parquet row 7"),
        ([*pngs(7), b""], "1 images have no bytes: x.parquet row 7"),
        ([{"bytes": p, "path": "x"} for p in pngs(7)] + [None], "1 rows have no image: x.parquet row 7"),
        ([{"bytes": p, "path": "x"} for p in pngs(7)] + [{"bytes": None, "path": None}], "rows have no image"),
        (["gone.png"] * COUNT, "8 paths are not a file in .*--image-root"),
        (["../secret.png"] * COUNT, "8 paths are not a file in"),
        (["/etc/passwd"] * COUNT, "8 paths are not a file in"),
        (["a\0b"] * COUNT, "8 paths are not a file in"),
        (["x" * 5000] * COUNT, "8 paths cannot be read"),
        ([1] * COUNT, r"\(image\) must hold|must hold image bytes.*not int64"),
        ([[1, 2]] * COUNT, "must hold image bytes.*not list"),
        ([{"a": {"b": 1}}] * COUNT, "must hold image bytes.*not struct"),
    ],
)
def test_rows_without_a_usable_image(tmp_path: Path, images: list[Any], match: str) -> None:
    (tmp_path / "secret.png").write_bytes(png(1))
    parquet_file(tmp_path / "a" / "x.parquet", {"image": images, "label": [0, 1] * 4})
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", match)


def test_images_that_are_missing_or_damaged_are_named_by_row_or_left_out(tmp_path: Path) -> None:
    images = [*pngs(6), None, b"no image"]
    parquet_file(tmp_path / "a" / "x.parquet", {"image": [*pngs(7), b"no image"], "label": [0, 1] * 4})
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", "x.parquet row 7: ")
    parquet_file(tmp_path / "a" / "x.parquet", {"image": images, "label": [0, 1] * 4})
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out", skip_bad=True)
    assert sorted(classes_by_pixel(reader)) == list(range(6))
    assert 2 in reader.manifest.notes.values()


def test_a_cell_beyond_the_bound_is_refused(tmp_path: Path) -> None:
    big = np.random.default_rng(0).bytes(2**20 + 1)
    parquet_file(tmp_path / "a" / "x.parquet", {"image": [*pngs(7), big], "label": [0, 1] * 4})
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", "1 images are larger than --max-file-mb 1: x.parquet row 7",
            max_file_mb=1)  # fmt: skip
    parquet_file(tmp_path / "a" / "x.parquet", {"image": [big + big], "label": [0]})
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", "row group 0 have 2 MiB, more than --max-file-mb 1",
            max_file_mb=1)  # fmt: skip


# Captions


EMPTY = ["a", "b", None, "", " \t", "c", "d", "e"]


def test_empty_captions_are_refused_or_left_out_and_counted(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", {"image": pngs(COUNT), "caption": EMPTY})
    refused(
        f"parquet:{tmp_path / 'a'}", tmp_path / "out", "3 rows have no caption: x.parquet row 2, .*row 4.*--skip-empty"
    )
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out", skip_empty_captions=True)
    assert sorted(rows_of(reader, "caption")) == ["a", "b", "c", "d", "e"]
    assert reader.manifest.notes["left out, rows without caption"] == 3


def test_lists_of_captions_count_their_empty_ones(tmp_path: Path) -> None:
    texts = [["a", None], ["b", " "], *[["c"]] * 6]
    parquet_file(tmp_path / "a" / "x.parquet", {"image": pngs(COUNT), "text": texts})
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    assert reader.manifest.notes["not used, empty captions beside others of their row"] == 2
    assert reader.manifest.notes["read as caption, column 'text'"] == 1
    assert sorted(t for s in ("train", "val", "test") for row in reader.captions(s, np.arange(reader.num_rows(s)))
                  for t in row) == ["a", "b", *["c"] * 6]  # fmt: skip


def test_captions_that_are_numbers_are_refused(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", {"image": pngs(COUNT), "caption": list(range(COUNT))})
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", "must hold text or lists of text, not int64")


# Files and schemas


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "is not a whole Parquet file: it is empty"), (b"PAR1", "not a whole"), (b"<html>" * 50, "not a whole")],
)
def test_a_parquet_that_is_none(tmp_path: Path, content: bytes, match: str) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", columns())
    (tmp_path / "a" / "y.parquet").write_bytes(content)
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", match)


def test_a_truncated_parquet_and_one_without_rows(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "a" / "x.parquet", columns())
    path.write_bytes(path.read_bytes()[:-50])
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", "not a whole Parquet file")
    parquet_file(path, pa.table(columns()).slice(0, 0))
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", "has no rows")


@pytest.mark.parametrize(
    ("second", "match"),
    [
        ({"image": pngs(COUNT), "label": ["a"] * COUNT}, "'label' holds int64 in other files and string in y"),
        ({"image": pngs(COUNT)}, "y.parquet has no column 'label', which other files have"),
        ({"label": [0] * COUNT}, "y.parquet has no column 'image', which other files have"),
        ({"image": [1] * COUNT, "label": [0] * COUNT}, "'image' holds binary in other files and int64"),
    ],
)  # fmt: skip
def test_a_second_file_with_another_schema(tmp_path: Path, second: dict[str, Any], match: str) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", columns())
    parquet_file(tmp_path / "a" / "y.parquet", second)
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", match)


def test_wider_integers_and_lacking_columns_of_a_second_file_are_joined(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", columns(user=pa.array([1] * COUNT, pa.int32()), note=pa.nulls(COUNT)))
    second = {"image": pngs(COUNT, 50), "label": pa.array([0, 1] * 4, pa.int8()), "user": [2**40] * COUNT}
    parquet_file(tmp_path / "a" / "y.parquet", second)
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    assert sorted(rows_of(reader, "user")) == [1] * COUNT + [2**40] * COUNT
    assert rows_of(reader, "note") == [None] * 2 * COUNT


def test_duplicate_columns_and_a_column_of_two_roles(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(pngs(2)), pa.array([0, 1]), pa.array([0, 1])], ["image", "label", "label"])
    parquet_file(tmp_path / "a" / "x.parquet", table)
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", "several columns of the name 'label'")
    parquet_file(tmp_path / "a" / "x.parquet", columns())
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", "two roles", columns={"image": "image", "label": "image"})
    refused(f"parquet:{tmp_path / 'a'}", tmp_path / "out", "no column 'nope'; columns there", columns={"label": "nope"})


def test_a_column_whose_name_another_column_takes_is_renamed_and_said(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", columns(species=["ant", "bee"] * 4))
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out", columns={"label": "species"})
    assert reader.manifest.class_names == ("ant", "bee")
    assert sorted(rows_of(reader, "label_in_source")) == [0] * 4 + [1] * 4
    assert any("renamed, column 'label' to 'label_in_source'" in note for note in reader.manifest.notes)


@pytest.mark.parametrize("spec", ["parquet:", "csv:", "webdataset:", "arrow:", "hf:"])
def test_a_source_that_names_nothing(tmp_path: Path, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parquet_file(tmp_path / "x.parquet", columns())
    refused(spec, tmp_path / "out", "must name a folder")


@pytest.mark.parametrize("spec", ["parquet:a\0b", "csv:a\0b", "webdataset:a\0b", "coco:a\0b:c"])
def test_a_path_that_is_none(tmp_path: Path, spec: str) -> None:
    refused(spec, tmp_path / "out", "NUL|must be coco")


def test_nested_further_columns_are_kept(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a" / "x.parquet", columns(box=[{"x": [n, n]} for n in range(COUNT)]))
    reader = packed(f"parquet:{tmp_path / 'a'}", tmp_path / "out")
    assert {row["x"][0] for row in rows_of(reader, "box")} == set(range(COUNT))


# Hugging Face


def saved(folder: Path, split: str, first: int) -> None:
    table = pa.table({"image": [{"bytes": p, "path": None} for p in pngs(COUNT, first)], "label": [0, 1] * 4})
    stream_file(folder / "data-00000-of-00001.arrow", table)
    json_file(folder / "state.json", {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": split})
    json_file(folder / "dataset_info.json", {"features": {}})


def test_folders_of_save_to_disk(tmp_path: Path) -> None:
    saved(tmp_path / "one", "test", 0)
    saved(tmp_path / "both" / "train", "train", 0)
    saved(tmp_path / "both" / "validation", "validation", 100)
    json_file(tmp_path / "both" / "dataset_dict.json", {"splits": ["train", "validation"]})
    reader = packed(f"hf:{tmp_path / 'both'}", tmp_path / "out")
    assert reader.num_rows("val") == COUNT
    assert classes_by_pixel(reader) == {n + f: str(n % 2) for n in range(COUNT) for f in (0, 100)}
    refused(f"hf:{tmp_path / 'one'}", tmp_path / "out2", "no training rows")
    refused(
        f"parquet:{tmp_path / 'both'}",
        tmp_path / "out2",
        "no .*parquet file there.*saved by `datasets`: use hf:",
    )
    refused(f"arrow:{tmp_path / 'both'}", tmp_path / "out2", "a stream|stream")


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ([], "no list '_data_files'"),
        ({"_data_files": None}, "no list '_data_files'"),
        ({"_data_files": [{"filename": "../../secret"}]}, "no file in the folder"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "no file in the folder"),
        ({"_data_files": [7]}, "no file in the folder"),
        ({"_data_files": [], "_indices_data_files": [1]}, "flatten_indices"),
        (b"[" * 100_000, "nested too deep"),
        (b"\xff\xfe\x00", "not JSON"),
    ],
)
def test_a_folder_of_save_to_disk_that_lies(tmp_path: Path, state: Any, match: str) -> None:
    saved(tmp_path / "a", "train", 0)
    (tmp_path / "secret").write_bytes(b"")
    json_file(tmp_path / "a" / "state.json", state)
    refused(f"hf:{tmp_path / 'a'}", tmp_path / "out", match)


def test_a_truncated_file_of_save_to_disk(tmp_path: Path) -> None:
    saved(tmp_path / "a", "train", 0)
    path = tmp_path / "a" / "data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[:300])
    refused(f"hf:{tmp_path / 'a'}", tmp_path / "out", "not a whole Arrow file|damaged")


def test_the_hub_needs_the_library_and_names_what_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    refused("hf:some/name", tmp_path / "out", "pip install datasets")
    library = ModuleType("datasets")

    def load_dataset(name: str, config: str | None) -> None:
        raise FileNotFoundError(f"no data set {name} with {config}")

    library.load_dataset = load_dataset  # type: ignore[attr-defined]
    library.exceptions = SimpleNamespace(DatasetsError=RuntimeError)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", library)
    refused("hf:some/name:small", tmp_path / "out", "could not be fetched: no data set some/name with small")


# CSV


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_csv_of_paths_and_labels(tmp_path: Path, separator: str, encoding: str) -> None:
    image_files(tmp_path / "a" / "images", COUNT)
    lines = [separator.join(("path", "label", "user"))]
    lines += [separator.join((f"images/{n}.png", ("höhle", "tür")[n % 2], str(n))) for n in range(COUNT)]
    (tmp_path / "a" / "list.csv").write_bytes("\r\n".join(lines).encode(encoding))
    reader = packed(f"csv:{tmp_path / 'a' / 'list.csv'}", tmp_path / "out")
    assert classes_by_pixel(reader) == {n: ("höhle", "tür")[n % 2] for n in range(COUNT)}
    assert sorted(rows_of(reader, "user")) == list(range(COUNT))
    assert reader.manifest.notes[f"rows of list.csv, columns separated by {separator!r}, {encoding}"] == COUNT


def test_a_csv_of_captions_with_a_column_of_splits_and_ids(tmp_path: Path) -> None:
    image_files(tmp_path / "images", COUNT)
    lines = ["filename,caption,split,uid"]
    lines += [f'{n}.png,"a, ""b""\nof {n}",{("train", "Validation")[n % 2]},{n:03d}' for n in range(COUNT)]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    reader = packed(f"csv:{tmp_path / 'list.csv'}", tmp_path / "out", image_root=str(tmp_path / "images"),
                    columns={"sample_id": "uid"})  # fmt: skip
    assert reader.num_rows("val") == COUNT / 2
    assert sorted(rows_of(reader, "uid")) == [f"{n:03d}" for n in range(COUNT)]
    assert sorted(rows_of(reader, "caption"))[0] == 'a, "b"\nof 0'


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "Empty CSV|not a table|no column"),
        (b"path,label\n", "has no rows"),
        (b"path,label\na.png\n", "not a table separated by ','"),
        (b"path,label\n0.png,\n", "1 rows have no label: list.csv row 0"),
        (b"path,label\ngone.png,x\n", "1 paths are not a file in"),
        (b"a,b\n0.png,x\n", "no column 'image'; columns there: a, b"),
        (b"path,label\n\xe9.png,x\n", "is not utf-8 text .byte 11.; save it as UTF-8"),
        (
            b"path,label,split\n0.png,x,holdout\n",
            "1 rows have a split that is none of train, val, test: list.csv row 0",
        ),
        (b"path,label,label\n0.png,x,y\n", "several columns of one name: 'label'"),
        (b"\0\1\2\3", "not a table|no column"),
    ],
)
def test_a_csv_that_cannot_be_used(tmp_path: Path, content: bytes, match: str) -> None:
    image_files(tmp_path / "a", 1)
    (tmp_path / "a" / "list.csv").write_bytes(content)
    refused(f"csv:{tmp_path / 'a' / 'list.csv'}", tmp_path / "out", match)


def test_a_csv_beyond_the_bound(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"path,label\n" + b"x" * 2**20)
    refused(f"csv:{tmp_path / 'list.csv'}", tmp_path / "out", "has 1 MiB, more than --max-file-mb 1", max_file_mb=1)
