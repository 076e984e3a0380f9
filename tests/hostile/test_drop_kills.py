"""A drop that is killed at any of its steps on disk leaves the data before or after, and a later one cleans up."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cu_core.data.drop import drop_rows, rewriting
from cu_core.data.row_selection import select_where
from cu_core.data.schema import SPLITS, read_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.data.verify import verify
from cu_core.errors import UserError
from tests.copies import drawings, pack_files

SCRIPT = """
import os, signal, sys
from pathlib import Path

steps, at = 0, int(sys.argv[2])

def stepping(plain):
    def step(self, *args, **kwargs):
        global steps
        steps += 1
        if steps == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, *args, **kwargs)
    return step

from cu_core.data.drop import drop_rows, rewriting
from cu_core.data.row_selection import select_where
from cu_core.data.shard_reader import ShardReader

folder = Path(sys.argv[1])
with rewriting(folder):
    reader = ShardReader(folder)
    chosen = select_where(reader, "sample_id in [1, 9, 22]")
    for name in ("replace", "unlink"):
        setattr(Path, name, stepping(getattr(Path, name)))
    drop_rows(reader, chosen)
"""


def ids_in(folder: Path) -> list[int]:
    reader = ShardReader(folder)
    return [int(i) for split in SPLITS for _, ids in reader.scan(split, "sample_id") for i in ids]


@pytest.mark.parametrize(("step", "dropped"), [
    pytest.param(1, False, id="before the first new shard has its name"),
    pytest.param(7, False, id="before the manifest has its name"),
    pytest.param(8, True, id="after it has"),
    pytest.param(11, True, id="before the last old shard is deleted"),
])  # fmt: skip
def test_a_kill_at_a_step_leaves_the_old_data_or_the_new(tmp_path: Path, step: int, dropped: bool) -> None:
    rest = [i for i in range(24) if i not in (1, 9, 22)]
    folder = tmp_path / "data"
    pack_files(folder, {"train": drawings(20), "val": drawings(2, 20), "test": drawings(2, 22)}, shard_rows=8)
    command = [sys.executable, "-c", SCRIPT, str(folder), str(step)]
    assert subprocess.run(command, check=False, timeout=300).returncode == -signal.SIGKILL
    assert all("is left of an earlier version" in problem for problem in verify(folder, lambda done, total: None))
    assert ids_in(folder) == (rest if dropped else list(range(24)))
    with rewriting(folder):  # the lock of the dead process is free
        reader = ShardReader(folder)
        if dropped:
            with pytest.raises(UserError, match="no row of"):
                select_where(reader, "sample_id in [1, 9, 22]")
        else:
            drop_rows(reader, select_where(reader, "sample_id in [1, 9, 22]"))
    assert ids_in(folder) == rest
    assert verify(folder, lambda done, total: None) == []
    manifest = read_manifest(folder)
    named = {shard.path for shard in manifest.shards}
    assert {path.name for path in folder.iterdir() if path.name != ".drop.lock"} == {*named, "manifest.json"}
    assert [step.rows for step in manifest.dropped] == [{"train": 2, "test": 1}]
