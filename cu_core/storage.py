"""Storage: folders, and addresses (s3://, gs://) of which each machine keeps what it reads and writes."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from pyarrow import fs

from cu_core.errors import UserError
from cu_core.secrets import masked_address

HERE = fs.LocalFileSystem()
LAST = ("manifest.json", "meta.json", "result.json", "run.json")
"""Files that mark a folder as complete, or as a run; they are sent after the others."""
GROWING: set[str] = set()
"""Names of files that are rewritten repeatedly, by one machine after another, so that a copy may be outdated. Code that
writes such files adds their names."""
UNSENT = ".unsent"
"""Lies in a folder until all of it is at its address."""
GIGABYTE = 10**9
SCHEMES = ("s3", "gs", "file")


def cache() -> Path:
    """Return the folder of this machine's copies, the same path on all machines: CU_CACHE, else in the home's cache."""
    return Path(os.environ.get("CU_CACHE") or "~/.cache/contrastive-unlearning").expanduser().resolve()


def place(text: str | Path) -> Path:
    """Return this machine's folder for a folder or address.

    A relative path lies under CU_ROOT if that is set, else under the working directory.

    Raises:
        UserError: The address has another scheme, holds a password, or leads out of a folder.
    """
    root, text = os.environ.get("CU_ROOT", ""), str(text)
    if root and "://" not in text and not text.startswith("/"):
        text = f"{root.rstrip('/')}/{'/'.join(Path(text).parts)}"
    scheme, separator, rest = text.partition("://")
    if separator and scheme not in SCHEMES:
        raise UserError(f"an address must begin with {', '.join(f'{s}://' for s in SCHEMES)}, got {text!r}.")
    if separator and "@" in rest.partition("/")[0]:
        raise UserError(
            f"an address must hold no user and no password: set them in the environment (AWS_ACCESS_KEY_ID, "
            f"AWS_SECRET_ACCESS_KEY), got {masked_address(text)!r}."
        )
    if separator and not {".", ".."}.isdisjoint(rest.split("/")):
        raise UserError(
            f"an address must have no parts '.' and '..': write out the folder, got {masked_address(text)!r}."
        )
    return cache() / scheme / rest.strip("/") if separator else Path(text).resolve()


def address(path: Path) -> str | None:
    """Return the address of which ``path`` is this machine's copy, or ``None``."""
    if not path.is_relative_to(cache()) or len(path.relative_to(cache()).parts) < 2:
        return None
    scheme, *rest = path.relative_to(cache()).parts
    if scheme not in SCHEMES:
        return None
    return f"{scheme}://{'/' if scheme == 'file' else ''}{'/'.join(rest)}"


def shown(path: Path) -> str:
    """Return the text by which a user can find a path on any machine: its address, if it has one."""
    return address(path) or str(path)


@functools.lru_cache
def _filesystem(scheme: str, bucket: str) -> fs.FileSystem:
    return fs.FileSystem.from_uri(f"{scheme}://{'/' if scheme == 'file' else bucket}")[0]


def _remote(path: Path) -> tuple[fs.FileSystem, str] | None:
    found = address(path)
    if found is None:
        return None
    scheme, _, key = found.partition("://")
    return _filesystem(scheme, key.partition("/")[0]), key


def fetched(path: Path) -> bool:
    """Return whether a file exists; it is fetched from its address if this machine lacks it."""
    fetch(path)
    return path.is_file()


def fetch(path: Path, check: Callable[[Path], None] = lambda copy: None, anew: bool = False) -> None:
    """Copy a file from its address if this machine lacks it, or if its name is in ``GROWING``.

    Several processes of a machine copy it once. Nothing happens if the address lacks it too.

    Args:
        path: Path on this machine.
        check: Called with the copy before it gets its name; it rejects the copy by raising.
        anew: Whether an older copy is replaced.

    Raises:
        OSError: The address does not answer.
    """
    remote, anew = _remote(path), anew or path.name in GROWING
    if remote is None or (path.exists() and not anew):
        return
    filesystem, key = remote
    if filesystem.get_file_info(key).type != fs.FileType.File:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        if path.exists() and not anew:
            return
        partial = path.with_name(f".{path.name}.fetched")
        try:
            fs.copy_files(key, str(partial), source_filesystem=filesystem, destination_filesystem=HERE)
            check(partial)
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)


def _lock(path: Path) -> FileLock:
    return FileLock(path.with_name(f".{path.name}.lock"))


def guard(path: Path) -> contextlib.AbstractContextManager[object]:
    """Return a context in which no process of this machine fetches an older version of a file that grows.

    It is held while such a file is replaced here and at its address.
    """
    return _lock(path) if path.name in GROWING and _remote(path) else contextlib.nullcontext()


def named_file(text: str) -> Path:
    """Return the path of a file that a user names; the file may not exist.

    It is the path as it stands if there is such a file, else under CU_ROOT or at its address.

    Raises:
        UserError: The address has another scheme.
        OSError: The address does not answer.
    """
    if "://" not in text and Path(text).is_file():
        return Path(text).resolve()
    fetch(place(text), anew=True)
    return place(text)


def publish(path: Path) -> None:
    """Copy a file or folder to its address, if it has one; files that mark a complete folder go last.

    Raises:
        OSError: The address does not answer.
    """
    remote = _remote(path)
    if remote is None or any(part.startswith(".") for part in path.relative_to(cache()).parts):
        return
    filesystem, key = remote
    for file in [path] if path.is_file() else _files(path):
        target = key if file == path else f"{key}/{file.relative_to(path).as_posix()}"
        filesystem.create_dir(target.rpartition("/")[0], recursive=True)
        # Object stores show a file when it is whole; a shared disk shows it as it grows.
        sent = f"{target}.partial" if isinstance(filesystem, fs.LocalFileSystem) else target
        fs.copy_files(str(file), sent, source_filesystem=HERE, destination_filesystem=filesystem)
        if sent != target:
            filesystem.move(sent, target)
    if path.is_dir():
        (path / UNSENT).unlink(missing_ok=True)


def names(folder: Path) -> list[str]:
    """List the names in a folder, here or at its address, in order; hidden names are left out.

    Raises:
        OSError: The address does not answer.
    """
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if remote := _remote(folder):
        filesystem, key = remote
        found |= {info.base_name for info in filesystem.get_file_info(fs.FileSelector(key, allow_not_found=True))}
    return sorted(name for name in found if not name.startswith("."))


def remove(path: Path) -> None:
    """Delete a folder or a file here and at its address; nothing happens if there is none.

    Raises:
        OSError: The address does not answer.
    """
    if remote := _remote(path):
        filesystem, key = remote
        kind = filesystem.get_file_info(key).type
        if kind == fs.FileType.Directory:
            filesystem.delete_dir(key)
        elif kind == fs.FileType.File:
            filesystem.delete_file(key)
    if path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    return sorted((p for p in folder.rglob("*") if p.is_file() and p.name != UNSENT), key=lambda p: (p.name in LAST, p))


def make_room(new: Path) -> None:
    """Delete the least recently used copies of shards until all fit within CU_CACHE_GB (not set: no limit).

    ``new`` is not deleted. A process that has a shard mapped keeps it.
    """
    limit = float(os.environ.get("CU_CACHE_GB") or "inf")
    used: dict[Path, os.stat_result] = {}
    held = 0
    for shard in cache().rglob("*.arrow"):
        hidden = any(part.startswith(".") for part in shard.relative_to(cache()).parts)
        if hidden or (shard.parent / UNSENT).exists():  # not whole, or not sent yet
            continue
        with contextlib.suppress(FileNotFoundError):  # a neighbour makes room too
            used[shard] = shard.stat()
    if new in used:
        held += used.pop(new).st_size
    for shard in sorted(used, key=lambda p: used[p].st_atime_ns, reverse=True):
        held += used[shard].st_size
        if held > limit * GIGABYTE:
            shard.unlink(missing_ok=True)
