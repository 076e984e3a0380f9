from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.data.source_files import files_of, is_hidden, parse_json, read_json
from cu_core.errors import DataError


def test_one_file_or_all_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.csv", "A.CSV", "c.txt", "x/d.tsv", ".e.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    notes: dict[str, int] = {}
    root, found = files_of("csv", str(tmp_path), (".csv", ".tsv"), notes)
    assert [str(path.relative_to(root)) for path in found] == ["A.CSV", "b.csv", "x/d.tsv"]
    assert notes == {"left out, hidden files, e.g. '.e.csv'": 1}
    assert files_of("csv", str(tmp_path / "b.csv"), (".csv",), notes) == (tmp_path, [tmp_path / "b.csv"])
    with pytest.raises(DataError, match=r"no \*.tar file there"):
        files_of("webdataset", str(tmp_path), (".tar",), notes)


def test_hidden_names() -> None:
    assert [is_hidden(n) for n in (".x", "._x", "__MACOSX", ".", "..", "x.y")] == [True] * 3 + [False] * 3


def test_json_with_marks_and_bounds(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert parse_json('{"a": "\u00e9"}'.encode(encoding), "x") == {"a": "\u00e9"}
    for content in (b'"\\ud800"', b"[" * 99_999, b"9" * 5000, b"{"):
        with pytest.raises(DataError, match="^x "):
            parse_json(content, "x")
    (tmp_path / "a.json").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(DataError, match="more than --max-file-mb 1"):
        read_json(tmp_path / "a.json", 1)
