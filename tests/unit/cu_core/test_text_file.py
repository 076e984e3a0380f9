from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from cu_core.text_file import read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_in_the_encodings_that_editors_write(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes("name: été\r\nseed: 3\r".encode(encoding))
    assert read_text(tmp_path / "x") == "name: été\nseed: 3\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a: 1\nname: café".encode("latin-1"), r"line 2: byte 0xe9 is no text in UTF-8; save the file as UTF-8"),
        (b"a\0b", "holds a zero byte"),
        ("a: 1".encode("utf-16-le"), "holds a zero byte"),
        (b"\xff\xfea", "is no text in UTF-16"),
        (b"\x89PNG\r\n\x1a\n", "line 1: byte 0x89"),
        (b"#" * 200, "has 200 bytes; a text file of this kind has at most 100"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        read_text(tmp_path / "x", largest_bytes=100)
