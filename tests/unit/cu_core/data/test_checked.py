"""A shard that was altered where it lies is noticed; one that was not is read whole once on a machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cu_core.data import checked
from cu_core.data.shard_reader import ShardReader
from cu_core.data.verify import verify
from cu_core.errors import DataError
from cu_core.files import sha256_of

ROWS = np.arange(3)


@pytest.fixture
def packed(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the digits on a machine that has checked nothing."""
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(digits, tmp_path / "digits"))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose sha256 was taken."""
    found: list[str] = []

    def recorded(path: Path) -> str:
        found.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(checked, "sha256_of", recorded)
    return found


def shard_of(packed: Path) -> Path:
    (file,) = packed.glob("*test*.arrow")
    return file


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_shard_is_read_whole_once_on_a_machine(packed: Path, read: list[str]) -> None:
    for _ in range(3):  # as many processes would
        ShardReader(packed).labels("test", ROWS)
    assert read == [shard_of(packed).name]


def test_an_altered_shard_is_named_in_one_line(packed: Path) -> None:
    ShardReader(packed).labels("test", ROWS)
    flip(shard_of(packed))
    with pytest.raises(
        DataError, match=rf"shard {shard_of(packed)}: its sha256 differs.*pack the data again"
    ) as caught:
        ShardReader(packed).labels("test", ROWS)
    assert "\n" not in str(caught.value)


def test_a_shard_altered_before_it_was_ever_read(packed: Path) -> None:
    flip(shard_of(packed))
    with pytest.raises(DataError, match="sha256 differs"):
        ShardReader(packed).labels("test", ROWS)


def replaced(file: Path) -> None:
    """By another file with the same time of change."""
    other = file.with_name("other")
    shutil.copy2(file, other)
    flip(other)
    found = file.stat()
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.rename(file)


@pytest.mark.parametrize("alter", [flip, replaced, lambda file: file.write_bytes(file.read_bytes()[:-1])])
def test_every_alteration_of_a_checked_shard(packed: Path, alter: Callable[[Path], None]) -> None:
    ShardReader(packed).labels("test", ROWS)
    alter(shard_of(packed))
    with pytest.raises(DataError, match="sha256 differs|must have"):
        ShardReader(packed).labels("test", ROWS)


def test_a_touched_shard_is_checked_again_and_used(packed: Path, read: list[str]) -> None:
    ShardReader(packed).labels("test", ROWS)
    os.utime(shard_of(packed))
    for _ in range(2):
        ShardReader(packed).labels("test", ROWS)
    assert len(read) == 2


def test_verify_reads_every_byte_whatever_was_recorded(packed: Path) -> None:
    assert not verify(packed, lambda done, total: None)
    file, found = shard_of(packed), shard_of(packed).stat()
    flip(file)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))  # as if nothing had been written
    assert ShardReader(packed).labels("test", ROWS).tolist(), "opening alone cannot see this"
    (problem,) = [line for line in verify(packed, lambda done, total: None) if "sha256" in line]
    assert file.name in problem


def test_without_a_place_for_records_every_process_checks(packed: Path, read: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder would be")
    for _ in range(2):
        ShardReader(packed).labels("test", ROWS)
    assert len(read) == 2


def test_a_copy_of_a_shard_at_an_address_stays_checked_while_it_is_used(
    packed: Path, read: list[str], tmp_path: Path
) -> None:
    reader = ShardReader(f"file://{packed}")
    for _ in range(3):
        ShardReader(f"file://{packed}").labels("test", ROWS)
    assert len(read) == 1
    (copy,) = reader.folder.glob("*test*.arrow")
    flip(copy)
    with pytest.raises(DataError, match=rf"shard file://{shard_of(packed)}: its sha256 differs"):
        reader.labels("test", ROWS)
