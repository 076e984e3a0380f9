"""A disk that fills up while a command writes: one line, exit 2, nothing half made; room, and it ends.

On a tmpfs of each size (root: ``mount``); ``SIZES=64,256 pytest -m soak tests/soak/test_full_disk.py`` names KiB.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.soak.test_kills import TINY

SIZES = [int(s) for s in os.environ.get("SIZES", "64,128,256,512,768,1024,1536,2048,3072,4096").split(",")]
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


def cu(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli.entry", *words],
        capture_output=True, text=True, timeout=900, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "digits"
    assert cu("data", "pack", "digits", str(out))[0] == 0
    return out


def check(status: int, said: str, folder: Path) -> None:
    assert status in (0, 2), said
    assert "Traceback" not in said
    if status == 2:
        assert "the disk is full: " in said
    left = [str(p) for p in folder.rglob("*") if re.fullmatch(r"\..*\.partial", p.name)]
    assert not left, left


@pytest.mark.parametrize("kib", SIZES)
@pytest.mark.parametrize("command", ["pack", "train", "unlearn"])
def test_a_full_disk(command: str, kib: int, small: Path, data: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(TINY | {"data": {"path": str(data)}, "storage": str(small / "store")}))
    words = {
        "pack": ["data", "pack", "digits", str(small / "out")],
        "train": ["train", str(config), "--local"],
        "unlearn": ["unlearn", str(config), "name=a", "--local"],
    }[command]
    resize(small, kib)
    status, said = cu(*words)
    check(status, said, small)
    if status == 0:
        return
    resize(small, 256 * 1024)
    more = ["--resume", "a"] if (small / "store" / "runs" / "a").exists() else []
    status, said = cu(*words, *more)
    assert status == 0, said
    if command == "unlearn":
        assert (small / "store" / "runs" / "a" / "result.json").is_file()
