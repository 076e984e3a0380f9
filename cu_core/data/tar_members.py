"""Members of a tar file, found without reading them and read one at a time."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cu_core.data.image_column import MEGABYTE
from cu_core.data.source_files import is_hidden
from cu_core.errors import DataError

SUFFIXES = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Member:
    """A file in a tar."""

    key: str
    """Folder and base name up to its first dot: the sample."""
    kind: str
    """The base name after that dot, in lower case."""
    info: tarfile.TarInfo


class _Bounded:
    """A file that refuses to read more than a bound at once: headers of a tar give their own size."""

    def __init__(self, file: Any, max_bytes: int, path: Path):
        self.file, self.max_bytes, self.path = file, max_bytes, path

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self.max_bytes:
            raise DataError(
                f"{self.path}: a member or header asks for {size} bytes, more than --max-file-mb "
                f"{self.max_bytes // MEGABYTE}."
            )
        return bytes(self.file.read(size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def is_compressed(path: Path) -> bool:
    """Return whether a file is compressed by gzip, by its first bytes."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def opened(path: Path, max_file_mb: int) -> Iterator[tarfile.TarFile]:
    """Context manager: the tar, compressed by gzip or not.

    Raises:
        DataError: The file is damaged, here or while the block reads it.
    """
    try:
        with gzip.open(path) if is_compressed(path) else path.open("rb") as raw:
            bounded: Any = _Bounded(raw, max_file_mb * MEGABYTE, path)
            with tarfile.open(fileobj=bounded, mode="r:") as tar:
                yield tar
    except DataError:
        raise
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError) as error:
        reason = "it is empty" if not path.stat().st_size else str(error).splitlines()[0] if str(error) else "cut off"
        raise DataError(f"{path} is damaged: {reason.rstrip('.')}.") from error


def members(tar: tarfile.TarFile, path: Path, max_file_mb: int) -> tuple[dict[str, list[Member]], int]:
    """Return the files of a tar by sample, in order, and the number of hidden ones that are left out.

    Raises:
        DataError: A member is too large, has a name that is no text, or has the name and kind of another.
    """
    samples: dict[str, list[Member]] = {}
    hidden, last = 0, -1
    for info in tar:
        if info.offset <= last or info.size < 0:
            raise DataError(f"{path} is damaged: its member {info.name!r} leads back to an earlier one.")
        last = info.offset
        name = PurePosixPath(info.name)
        if not info.isfile():
            continue
        if any(is_hidden(part) for part in name.parts):
            hidden += 1
            continue
        if not _is_text(info.name):
            raise DataError(f"{path}: the member {info.name!r} has a name that is not UTF-8; rename it.")
        if info.size > max_file_mb * MEGABYTE:
            raise DataError(
                f"{path}: {info.name!r} has {info.size / MEGABYTE:.0f} MiB, more than --max-file-mb {max_file_mb}."
            )
        base, _, kind = name.name.partition(".")
        key = str(name.with_name(base)) if base else str(name)
        parts = samples.setdefault(key, [])
        if any(part.kind == kind.lower() for part in parts):
            raise DataError(f"{path}: {info.name!r} occurs more than once; every key and suffix must be unique.")
        parts.append(Member(key, kind.lower(), info))
    return samples, hidden


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def lies_apart(samples: dict[str, list[Member]]) -> str | None:
    """Return the first key whose members do not lie together, or ``None``."""
    ends = -1
    for key, parts in samples.items():
        if parts[0].info.offset < ends:
            return key
        ends = parts[-1].info.offset
    return None


def content(tar: tarfile.TarFile, member: Member) -> bytes:
    """Read a member."""
    file = tar.extractfile(member.info)
    data = file.read(member.info.size) if file else b""
    if len(data) != member.info.size:
        raise EOFError(f"{member.info.name!r} ends early")
    return data
