"""Small files that this tool wrote and reads again: what else is found under their names is told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from cu_core.errors import DamagedFile

T = TypeVar("T")


def read_stored(path: Path, kind: TypeAdapter[T], remedy: str) -> T:
    """Read a JSON file.

    Args:
        path: The file.
        kind: What it must hold.
        remedy: What the user can do if it holds something else.

    Returns:
        Its content.

    Raises:
        DamagedFile: It holds something else; the message names the file.
    """
    try:
        return kind.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise damaged(path, f"{where}: {first['msg']}" if where else first["msg"], remedy) from error
    except IsADirectoryError as error:
        raise damaged(path, "it is a folder", remedy) from error


def damaged(path: Path, reason: object, remedy: str) -> DamagedFile:
    """Return the error for a stored file that holds something else than this tool wrote."""
    (first, *_) = [*str(reason).strip().splitlines(), type(reason).__name__]
    return DamagedFile(f"{path} is damaged ({first[:200]}); {remedy}.")
