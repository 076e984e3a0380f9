"""The manifest: what its digest names, and what of a file is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cu_core.data import schema
from cu_core.data.convert import SplitPlan
from cu_core.data.schema import Manifest, ShardInfo, read_manifest, write_manifest
from cu_core.errors import DataError
from tests.conftest import pack_quietly

FIRST = ShardInfo(path="a.arrow", split="train", batch_rows=(3, 4), bytes=900, sha256="0" * 64)
SECOND = replace(FIRST, path="b.arrow", batch_rows=(5,), ranges={"x": (1, 4), "y": (0.5, 2.0), "z": ("a", "b")})
VAL = replace(FIRST, path="c.arrow", split="val", batch_rows=(2,))
MANIFEST = Manifest(
    name="set",
    image_kind="tensor",
    image_shape=(1, 2, 2),
    class_names=("cat", "dog"),
    shards=(FIRST, SECOND, VAL),
    columns={"label": "kind"},
    extra_columns=("x", "y", "z"),
    pixel_mean=(0.5,),
    pixel_std=(0.25,),
)


def test_the_digest_names_the_content(digits: Path, tmp_path: Path) -> None:
    same, other = pack_quietly("digits", tmp_path / "a"), pack_quietly("digits", tmp_path / "b", SplitPlan(0.2, seed=1))
    assert read_manifest(same).digest == read_manifest(digits).digest != read_manifest(other).digest


def test_rows_and_shards_of_a_split() -> None:
    assert FIRST.rows == 7
    assert MANIFEST.split_shards("train") == [FIRST, SECOND]
    assert [MANIFEST.num_rows(split) for split in ("train", "val", "test")] == [12, 2, 0]


def test_names_of_columns() -> None:
    assert [MANIFEST.column(name) for name in ("label", "image")] == ["kind", "image"]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"source": "folder:elsewhere"},
        {"notes": {"left out": 3}},
        {"label_values": (7, 9)},
        {"shards": (replace(FIRST, path="moved.arrow"), SECOND, VAL)},
        {"shards": (FIRST, replace(SECOND, ranges={}), VAL)},
    ],
    ids=str,
)
def test_the_digest_does_not_depend_on_how_data_are_called_or_where_they_lie(changes: dict[str, Any]) -> None:
    assert replace(MANIFEST, **changes).digest == MANIFEST.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ("dog", "cat")},
        {"columns": {}},
        {"pixel_mean": (0.4,)},
        {"pixel_std": (0.2,)},
        {"image_shape": (1, 4, 1)},
        {"half": 0},
        {"half": 1},
        {"shards": (SECOND, FIRST, VAL)},
        {"shards": (FIRST, SECOND)},
        {"shards": (replace(FIRST, sha256="1" * 64), SECOND, VAL)},
        {"shards": (replace(FIRST, split="test"), SECOND, VAL)},
    ],
    ids=str,
)
def test_the_digest_depends_on_all_else(changes: dict[str, Any]) -> None:
    assert replace(MANIFEST, **changes).digest != MANIFEST.digest


def test_the_two_halves_of_two_keys_are_different_data() -> None:
    assert replace(MANIFEST, half=0).digest != replace(MANIFEST, half=1).digest


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST
    (tmp_path / "manifest.json").rename(tmp_path / "index.json")
    assert read_manifest(tmp_path / "index.json") == MANIFEST


def test_a_folder_without_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^no manifest.json in {tmp_path}: .*`cu data pack SOURCE OUT`"):
        read_manifest(tmp_path)


def changed(folder: Path, **values: object) -> Path:
    write_manifest(folder, MANIFEST)
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    return folder


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_kind": "video"}, "is not a valid manifest: image_kind: Input should be 'tensor' or 'encoded'"),
        ({"shards": [{"path": "a"}]}, "is not a valid manifest: shards.0.split: "),
        ({"format_version": 2}, "has format 2, this version reads 1; pack again"),
        ({"class_names": []}, "cannot be used: 0 classes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_read_is_one_line(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_manifest(changed(tmp_path, **values))
    assert "\n" not in str(caught.value)


def test_no_json_and_too_much_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="is not a valid manifest: file: Invalid JSON"):
        read_manifest(tmp_path)
    changed(tmp_path)
    size = (tmp_path / "manifest.json").stat().st_size
    monkeypatch.setattr(schema, "MAX_MANIFEST_BYTES", size)
    assert read_manifest(tmp_path) == MANIFEST
    monkeypatch.setattr(schema, "MAX_MANIFEST_BYTES", size - 1)
    with pytest.raises(DataError, match=f"has {size} bytes; a manifest has at most {size - 1}"):
        read_manifest(tmp_path)
