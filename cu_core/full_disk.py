"""A full disk, by whichever library it is met, is one error with the path of what could not be written."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

NUMBERS = (errno.ENOSPC, errno.EDQUOT)
WORDS = (
    "no space left on device",  # safetensors, Arrow, Ray
    "disk is full",  # SQLite
    "quota exceeded",
    "pytorchstreamwriter failed writing",  # torch.save, which knows no more
    "] . unexpected pos",
    "iostream error",
)


def is_full(error: BaseException | None) -> bool:
    """Return whether an exception, or one that it came from, says that a disk is full."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in NUMBERS:
            return True
        if any(word in str(error).lower() for word in WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def path_of(error: BaseException | None) -> str | None:
    """Return the path that an exception about a full disk, or one that it came from, names."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in NUMBERS and error.filename:
            return str(error.filename)
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def named(target: Path) -> Iterator[None]:
    """Context manager: what a library raises when the disk is full becomes an OSError that names ``target``."""
    try:
        yield
    except Exception as error:
        if not is_full(error) or (isinstance(error, OSError) and error.errno in NUMBERS and error.filename):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
