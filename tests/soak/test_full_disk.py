"""A disk that fills up while a command writes: one line, exit 2, nothing half made; room, and it ends.

On a tmpfs of each size (root: ``mount``); ``SIZES=64,256 pytest -m soak tests/soak/test_full_disk.py`` names KiB.
DISKS_OUT: a file that gets a row of each command and size.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.forked import Started, finish
from tests.soak.place import Place

DEFAULT = "64,96,128,192,256,384,512,640,768,896,1024,1280,1536,1792,2048,2304,2560,3072,3584,4096"
SIZES = [int(s) for s in os.environ.get("SIZES", DEFAULT).split(",")]
pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="a tmpfs of a chosen size needs root (mount)"),
]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of no room; ``resize`` gives it some."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount -t tmpfs is not allowed here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def resize(folder: Path, kib: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kib}k", folder], check=True)


def check(done: Started, folder: Path) -> None:
    assert done.status in (0, 2), done.said()
    assert "Traceback" not in done.said(), done.said()
    if done.status == 2:
        assert "the disk is full: " in done.said()
    left = [str(p) for p in folder.rglob("*") if re.fullmatch(r"\..*\.partial", p.name)]
    assert not left, left


@pytest.mark.parametrize("kib", SIZES)
@pytest.mark.parametrize("command", ["pack", "train", "unlearn", "audit", "compare", "sweep"])
def test_a_full_disk(command: str, kib: int, small: Path, made: Place, tmp_path: Path) -> None:
    place = Place(small, made.data)
    place.write_files()
    words, log = place.words(command, "a"), tmp_path / "log"
    if command == "audit":  # the run that is audited lies elsewhere, its figures go to the small disk
        shutil.copytree(made.store, tmp_path / "store")
        words = ["audit", "made", f"storage={tmp_path / 'store'}", "--local", "--out", str(small / "audit-a")]
    resize(small, kib)
    first = finish(words, log)
    check(first, small)
    if first.status == 0:
        write_row(command, kib, "ended well")
        return
    resize(small, 256 * 1024)
    name = {"unlearn": "a", "sweep": "sweep-a"}.get(command, "")
    begun = (small / "store" / ("runs" if command == "unlearn" else "sweeps") / name).exists()
    again = finish([*words, "--resume", name] if name and begun else words, log)
    assert again.status == 0, again.said()
    assert command == "train" or place.result(command, "a").is_file()
    write_row(command, kib, "one line, exit 2; ended well once there was room")


def write_row(command: str, kib: int, found: str) -> None:
    if out := os.environ.get("DISKS_OUT"):
        with Path(out).open("a") as table:
            table.write(f"| {command} | {kib} | {found} |\n")
