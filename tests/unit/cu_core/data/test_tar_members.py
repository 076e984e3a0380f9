from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.data.tar_members import content, is_compressed, lies_apart, members, opened
from cu_core.errors import DataError
from tests.hostile.table_inputs import tar_file

FILES = [("./a.b/1.x.JPG", b"image"), ("a.b/1.txt", b"words"), (".hidden", b""), ("2.txt", b""), ("a.b/1.cls", b"3")]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_by_key_and_kind(tmp_path: Path, mode: str) -> None:
    path = tar_file(tmp_path / "a.tar", FILES, mode)
    assert is_compressed(path) == (mode == "w:gz")
    with opened(path, 1) as tar:
        samples, hidden = members(tar, path, 1)
        assert {key: [p.kind for p in parts] for key, parts in samples.items()} == {
            "a.b/1": ["x.jpg", "txt", "cls"],
            "2": ["txt"],
        }
        assert hidden == 1
        assert lies_apart(samples) == "2"
        assert [content(tar, part) for part in samples["a.b/1"]] == [b"image", b"words", b"3"]


def test_keys_that_lie_together(tmp_path: Path) -> None:
    path = tar_file(tmp_path / "a.tar", [("1.a", b""), ("1.b", b""), ("2.a", b"")])
    with opened(path, 1) as tar:
        assert lies_apart(members(tar, path, 1)[0]) is None


def test_no_read_is_larger_than_the_bound(tmp_path: Path) -> None:
    path = tar_file(tmp_path / "a.tar", [("1.a", b"x" * (2**20 + 1))])
    with pytest.raises(DataError, match="more than --max-file-mb 1"), opened(path, 1) as tar:
        members(tar, path, 1)
    with opened(path, 2) as tar:
        assert members(tar, path, 2)[0].keys() == {"1"}
