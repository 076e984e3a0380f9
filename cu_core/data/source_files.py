"""The files that a source names: one file, or all files of a kind in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cu_core.data.image_column import MEGABYTE
from cu_core.errors import DataError

SAVED = ("state.json", "dataset_dict.json", "dataset_info.json")
"""Files of a folder that ``datasets`` saved."""


def files_of(kind: str, argument: str, suffixes: Sequence[str], notes: dict[str, int]) -> tuple[Path, list[Path]]:
    """Return the folder of a source and its files, in order.

    Hidden files and folders are left out, with a note; so are those of macOS archives (``__MACOSX``, ``._NAME``).

    Args:
        kind: Name of the source, for errors.
        argument: Folder or file.
        suffixes: Endings of the names of the files, in lower case.
        notes: Where files that are left out are counted.

    Raises:
        DataError: There is no such file.
    """
    also = f" (or {', '.join(f'*{suffix}' for suffix in suffixes[1:])})" if suffixes[1:] else ""
    none = f"no *{suffixes[0]} file there{also}"
    if not argument:
        raise DataError(f"{kind}: must name a folder or file: {kind}:FOLDER with *{suffixes[0]} files.")
    if "\0" in argument:
        raise DataError(f"{kind}:{argument!r} is no path: it holds a NUL.")
    root = Path(argument)
    if root.is_file():
        return root.parent, [root]
    if not root.is_dir():
        raise DataError(f"{kind}:{argument}: {none}: no such folder.")
    found = sorted(p for p in root.rglob("*") if p.name.lower().endswith(tuple(suffixes)) and p.is_file())
    shown = [path for path in found if not any(is_hidden(part) for part in path.relative_to(root).parts)]
    if len(shown) < len(found):
        notes[f"left out, hidden files, e.g. {_first_hidden(found, shown, root)}"] = len(found) - len(shown)
    if not shown:
        saved = f" It was saved by `datasets`: use hf:{argument}." if any((root / n).is_file() for n in SAVED) else ""
        raise DataError(f"{kind}:{argument}: {none}.{saved}")
    return root, shown


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or an addition of macOS."""
    return name == "__MACOSX" or (name.startswith(".") and name not in (".", ".."))


def _first_hidden(found: Sequence[Path], shown: Sequence[Path], root: Path) -> str:
    """Return the name of the first file that is not shown."""
    return repr(str(next(path for path in found if path not in shown).relative_to(root)))


def read_json(path: Path, max_file_mb: int) -> Any:
    """Read a JSON file, with or without byte order mark.

    Args:
        path: The file.
        max_file_mb: Size in MiB above which it is refused.

    Raises:
        DataError: The file is too large or is not JSON.
    """
    if path.stat().st_size > max_file_mb * MEGABYTE:
        raise DataError(
            f"{path} has {path.stat().st_size / MEGABYTE:.0f} MiB, more than --max-file-mb {max_file_mb}; JSON is read "
            f"into memory whole, which takes about ten times its size."
        )
    return parse_json(path.read_bytes(), str(path))


def parse_json(content: bytes, place: str) -> Any:
    """Parse JSON.

    Args:
        content: The text, UTF-8 or UTF-16 with or without byte order mark.
        place: Name of the file, for errors.

    Raises:
        DataError: It is not JSON, or not text.
    """
    try:
        value = json.loads(content.decode("utf-16") if content[:2] in (b"\xff\xfe", b"\xfe\xff") else content)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place} holds half of a surrogate pair, which is no text ({error.object[error.start]!r})."
        ) from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise DataError(f"{place} is not JSON that can be read: {reason}.") from error
    return value
