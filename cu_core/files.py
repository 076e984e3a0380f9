"""Files that must be whole or absent, and digests of content."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cu_core.full_disk import named
from cu_core.leftovers import partial_name, sweep
from cu_core.storage import UNSENT, address, fetch, guard, publish
from cu_core.stored import damaged


def settle(path: Path) -> None:
    """Wait until a file, or a folder with all files in it, is on the disk: a power cut then leaves it whole."""
    for part in [*path.rglob("*"), path]:
        if part.is_symlink() or not (part.is_file() or part.is_dir()):
            continue
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot sync a folder
                raise
        finally:
            os.close(descriptor)


def _settle_name(target: Path) -> None:
    """Wait until the name of a file or folder that was renamed is on the disk."""
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # the content is whole under one name or the other
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Context manager: a temporary sibling that becomes ``target`` when the block ends without an error.

    If ``target`` belongs to an address, the folder is also published there.

    Raises:
        FileExistsError: There is a folder of that name, made before or meanwhile.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    partial = partial_name(target)
    shutil.rmtree(partial, ignore_errors=True)
    with named(target):
        partial.mkdir()
    try:
        with named(target):
            yield partial
            if address(target):
                (partial / UNSENT).touch()
            settle(partial)
        try:
            partial.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        _settle_name(target)
        publish(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def atomic_folder(target: Path, replaces: bool | None = None) -> Iterator[Path]:
    """Context manager: as ``new_folder``, but a folder that has that name when the block begins is replaced.

    ``replaces`` says whether there was one when the work on it began, if that was before the block.

    Another process that makes the same folder meanwhile is not an error, and its folder stays: folders are named by
    what they hold or by their run, and others may be reading it.
    """
    replaces = target.exists() if replaces is None else replaces
    old = partial_name(target.with_name(f"{target.name}.old"))
    try:
        with new_folder(target) as partial:
            yield partial
            if replaces:
                with contextlib.suppress(FileNotFoundError):
                    target.rename(old)  # whole until the new one has its name: a reader never sees a part of it
    except FileExistsError as error:
        if error.filename != str(target):
            raise
        publish(target)
    finally:
        if old.exists() and not target.exists():  # the new one could not be named
            old.rename(target)
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Context manager: a temporary sibling that becomes ``target`` when the block ends without an error.

    If ``target`` belongs to an address, the file is also published there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    partial = partial_name(target)
    try:
        with named(target):
            yield partial
            settle(partial)
        with guard(target):
            partial.replace(target)
            _settle_name(target)
            publish(target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file (UTF-8 in every locale) under a temporary name, then rename it."""
    with atomic_file(target) as partial:
        partial.write_text(text, encoding="utf-8")


def for_owner(path: Path) -> Path:
    """Make an empty file that its owner alone can read and write, and return its path: it will hold personal data."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path


def save_arrays(target: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as one compressed file that is complete or absent."""
    with atomic_file(target) as partial, partial.open("wb") as out:
        np.savez_compressed(out, **arrays)


def load_arrays(path: Path) -> dict[str, Any]:
    """Read arrays that ``save_arrays`` wrote.

    Raises:
        DamagedFile: The file holds something else.
    """
    fetch(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, IsADirectoryError) as error:
        raise damaged(path, error, "delete it") from error


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file; it is cached until the size or the time of change differs."""
    found = path.stat()
    return _sha256(path.resolve(), found.st_size, found.st_mtime_ns)


@functools.lru_cache
def _sha256(path: Path, size: int, changed_ns: int) -> str:
    """Compute the sha256; cached, since the digests of large weights files are needed repeatedly."""
    return sha256_of(path)


def sha256_of(path: Path) -> str:
    """Compute the sha256 of a file, without a cache."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(value: object) -> str:
    """Return a stable digest of any value that JSON can hold; 16 hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
