"""A run has one driver at a time: another that would go on with it is refused while the first one lives."""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from pydantic import TypeAdapter

from cu_core.errors import ConfigError, DamagedFile
from cu_core.files import write_text
from cu_core.storage import GROWING, fetched
from cu_core.stored import read_stored
from pipelines.console import console

BEAT = 5.0
"""Seconds between two signs of life."""
PATIENCE = 6
"""Beats that a driver elsewhere is waited for."""
SETTLE = 2.0
"""Seconds after which, of two that took over at once, one finds the other's name."""
FILE = "driver.json"
GROWING.add(FILE)
SAID = TypeAdapter(dict[str, Any])


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """While the block runs, this process says in the run's folder that it is the one that works there. Where another
    has taken over all the same (this one did not get to say so for long), the block is interrupted.

    Raises: ConfigError if another one works there.
    """
    own, ended = uuid.uuid4().hex, threading.Event()
    if other := _read(folder):
        if _lives(folder, other):
            raise _refusal(folder, other)
        _write(folder, own, 0)
        time.sleep(SETTLE)
        if (other := _read(folder)) and other["id"] != own:
            raise _refusal(folder, other)
    _write(folder, own, 0)
    thread = threading.Thread(target=_beat, args=(folder, own, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError):  # what the run itself cannot write, it says itself
            if _read(folder).get("id") == own:
                _write(folder, own, None)


def at_work(folder: Path) -> str:
    """Who works on the run, as far as this machine can tell without waiting; empty if no one does."""
    other = _read(folder)
    if not other or (_machine().items() <= other.items() and not _lives(folder, other)):
        return ""
    return f"process {other['pid']} on {other['host']}"


def _refusal(folder: Path, other: dict[str, Any]) -> ConfigError:
    return ConfigError(
        f"{folder.name}: process {other['pid']} on {other['host']} is at work on that run; wait for it, or "
        f"end it (a job: cu stop)."
    )


def _beat(folder: Path, own: str, ended: threading.Event) -> None:
    number = 0
    while not ended.wait(BEAT):
        number += 1
        with contextlib.suppress(OSError):
            if (said := _read(folder)) and said["id"] != own:
                console.print(f"process {said['pid']} on {said['host']} has taken this run over", highlight=False)
                heard = callable(signal.getsignal(signal.SIGINT))  # it is ignored in the background of a shell
                _thread.interrupt_main(signal.SIGINT if heard else signal.SIGTERM)
                return
            _write(folder, own, number)


def _read(folder: Path) -> dict[str, Any]:
    """What the last driver said; empty where it has ended, there was none, or the file is damaged (one
    that lives writes it again)."""
    if not fetched(folder / FILE):
        return {}
    try:
        said = read_stored(folder / FILE, SAID, "delete it")
    except DamagedFile:
        return {}
    return said if {"host", "pid", "began", "id", "beat"} <= said.keys() and said["beat"] is not None else {}


def _machine() -> dict[str, Any]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {"host": socket.gethostname(), "boot": boot.read_text().strip() if boot.is_file() else ""}


def _write(folder: Path, own: str, number: int | None) -> None:
    said = {**_machine(), "pid": os.getpid(), "began": psutil.Process().create_time(), "id": own, "beat": number}
    write_text(folder / FILE, json.dumps(said))


def _lives(folder: Path, other: dict[str, Any]) -> bool:
    if _machine().items() <= other.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(other["pid"])
            same = abs(process.create_time() - other["began"]) < 1  # else its number was given anew
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        return False
    console.print(
        f"looking whether the driver on {other['host']} still works ({BEAT * PATIENCE:.0f} s)", highlight=False
    )
    time.sleep(BEAT * PATIENCE)
    return _read(folder) not in ({}, other)
