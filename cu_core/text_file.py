"""Small text files that a user wrote, in whatever encoding an editor gave them."""

from __future__ import annotations

import codecs
from pathlib import Path

from cu_core.errors import ConfigError

LARGEST_BYTES = 2**20
"""Largest configuration file."""
BY_MARK = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Encodings that a file states in its first bytes."""


def read_text(path: Path, largest_bytes: int = LARGEST_BYTES) -> str:
    """Read a text file in UTF-8, or in UTF-16 with a byte order mark.

    Args:
        path: The file.
        largest_bytes: A larger file is refused before it is read.

    Returns:
        The text, without a byte order mark, its lines ended by a line feed.

    Raises:
        ConfigError: The file is too large or is no text; the message names the line of the first wrong byte.
    """
    size = path.stat().st_size
    if size > largest_bytes:
        raise ConfigError(f"{path} has {size} bytes; a text file of this kind has at most {largest_bytes}.")
    return decoded(path.read_bytes(), str(path))


def decoded(data: bytes, source: str) -> str:
    """Decode the bytes of a text file, as ``read_text`` does.

    Raises:
        ConfigError: The bytes are no text.
    """
    encoding = next((name for mark, name in BY_MARK.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line, name = data[: error.start].count(b"\n") + 1, encoding.removesuffix("-sig").upper()
        raise ConfigError(
            f"{source}, line {line}: byte {data[error.start]:#04x} is no text in {name}; save the file as UTF-8."
        ) from error
    if "\0" in text:
        raise ConfigError(f"{source} is no text: it holds a zero byte; save it as text in UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")
