from __future__ import annotations

import json
from pathlib import Path

import pytest

from cu_core.data.webdataset_source import is_image
from tests.hostile.table_inputs import COUNT, packed, png, rows_of, tar_file
from tests.hostile.test_tars_and_json import captions_of, samples


def test_the_last_part_of_a_suffix_tells_images() -> None:
    assert is_image("jpg")
    assert is_image("input.png")
    assert not is_image("png.txt")


def test_rows_come_in_batches_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [
        (f"{n}.{k}", c) for n in range(8) for k, c in (("png", png(n)), ("txt", b"w"), ("json", b'{"caption": "z"}'))
    ]
    tar_file(tmp_path / "in" / "a.tar", files)
    monkeypatch.setattr("cu_core.data.webdataset_source.BYTES_AT_ONCE", 1)
    reader = packed(f"webdataset:{tmp_path / 'in'}", tmp_path / "out")
    assert rows_of(reader, "caption") == [["w"]] * 8, "the text counts before the caption in JSON"


def test_tars_of_one_name_in_two_folders_have_keys_of_their_own(tmp_path: Path) -> None:
    for split in ("train", "val"):
        tar_file(tmp_path / "a" / split / "00000.tar", samples())
    reader = packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")
    assert reader.num_rows("val") == COUNT
    assert len(set(rows_of(reader, "sample_id"))) == 2 * COUNT


def test_split_in_json_is_taken_and_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    files = [(f"{n}.{kind}", content) for n in range(COUNT) for kind, content in (
        ("png", png(n)), ("cls", (b"\xef\xbb\xbf" * (n % 2)) + b"1"), ("txt", b"\xef\xbb\xbfword"),
        ("json", json.dumps({"split": ("train", "test")[n % 4 == 0]}).encode()))]  # fmt: skip
    tar_file(tmp_path / "a" / "0.tar", files)
    reader = packed(f"webdataset:{tmp_path / 'a'}", tmp_path / "out")
    assert reader.manifest.class_names == ("1",)
    assert set(captions_of(reader)) == {"word"}
    assert reader.num_rows("test") == 2
