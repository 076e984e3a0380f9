from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.data.webdataset_source import is_image
from tests.hostile.table_inputs import packed, png, rows_of, tar_file


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
