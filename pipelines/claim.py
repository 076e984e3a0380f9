"""A run has one driver at a time: another that would go on with it is refused while the first one lives."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from cu_core.config_io import ConfigError
from cu_core.files import write_text
from cu_core.places import there
from pipelines.progress import console

BEAT = 5.0
"""Seconds between two signs of life."""
PATIENCE = 6
"""Beats that a driver elsewhere is waited for."""
FILE = "driver.json"


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """While the block runs, this process says in the run's folder that it is the one that works there.

    Raises: ConfigError if another one does.
    """
    if (other := _read(folder)) and _lives(folder, other):
        raise ConfigError(
            f"--resume {folder.name}: process {other['pid']} on {other['host']} is at work on that run; wait for it, "
            f"or end it (a job: cu stop)."
        )
    ended = threading.Event()

    def beat() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            with contextlib.suppress(OSError):  # what the run itself cannot write, it says itself
                _write(folder, number)
            ended.wait(BEAT)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError):
            _write(folder, None)


def _read(folder: Path) -> dict[str, Any]:
    """What the last driver said; empty where it has ended or there was none."""
    if not there(folder / FILE):
        return {}
    said: dict[str, Any] = json.loads((folder / FILE).read_text())
    return said if said["beat"] is not None else {}


def _write(folder: Path, number: int | None) -> None:
    own = {"host": socket.gethostname(), "pid": os.getpid(), "began": psutil.Process().create_time()}
    write_text(folder / FILE, json.dumps({**own, "beat": number}))


def _lives(folder: Path, other: dict[str, Any]) -> bool:
    if other["host"] == socket.gethostname():
        with contextlib.suppress(psutil.NoSuchProcess):
            return (
                abs(psutil.Process(other["pid"]).create_time() - other["began"]) < 1
            )  # else its number was given anew
        return False
    console.print(
        f"looking whether the driver on {other['host']} still works ({BEAT * PATIENCE:.0f} s)", highlight=False
    )
    time.sleep(BEAT * PATIENCE)
    return _read(folder) not in ({}, other)
