"""Names of unfinished files, ``.NAME.MACHINE-PID.partial``, and what a process that was killed has left of them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import socket
import time
from pathlib import Path

PARTIAL = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)\.partial")
DAY = 86_400.0
"""Seconds after its last change that an unfinished file of another machine is taken for a leftover."""
DEPTH = 3
"""Folders below a storage in which results are written."""


@functools.cache
def machine() -> str:
    """Return 8 hex digits for this machine since it started; containers differ, as their process ids do."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    parts = [socket.gethostname(), boot.read_text() if boot.is_file() else ""]
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def partial_name(target: Path) -> Path:
    """Return the sibling under which this process writes ``target`` until it is complete."""
    return target.with_name(f".{target.name}.{machine()}-{os.getpid()}.partial")


def lives(pid: int) -> bool:
    """Return whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _is_left(path: Path) -> bool:
    """Whether the process that wrote it is dead: by its id on this machine, by age for another machine."""
    found = PARTIAL.fullmatch(path.name)
    if found is None:
        return False
    if found[1] == machine():
        return not lives(int(found[2]))
    newest = max((p.lstat().st_mtime for p in [path, *path.rglob("*")]), default=0.0)
    return time.time() - newest > DAY


def sweep(folder: Path, depth: int = 0) -> int:
    """Delete the leftovers in a folder, and in folders down to ``depth`` below it; return how many there were."""
    swept = 0
    with contextlib.suppress(OSError):  # it is not there, or a neighbour sweeps too
        for entry in list(os.scandir(folder)):
            path = Path(entry.path)
            if entry.name.endswith(".partial") and _is_left(path):
                shutil.rmtree(path, ignore_errors=True) if entry.is_dir(follow_symlinks=False) else path.unlink()
                swept += 1
            elif depth and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                swept += sweep(path, depth - 1)
    return swept
