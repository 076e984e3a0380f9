"""Time and memory of finding 100,000 ids: ``python infra/requests_scale.py FOLDER [MILLIONS]...`` (absent: 2.5 and 10).

Packs sets of so many rows with images of one pixel, ids in random order over all shards, and resolves one list on each,
in a process of its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from cu_core.data.order import EpochOrder
from cu_core.data.requests import ByIds, resolve_request
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import Chunk, ShardWriter

WANTED, CHUNK, USERS = 100_000, 2**18, 20
"""Ids of the list; rows written at once; rows of a user."""


def make(folder: Path, rows: int) -> None:
    with ShardWriter(folder, "set", ["a", "b"], "synthetic") as writer:
        for first in range(0, rows, CHUNK):
            ids = EpochOrder(rows, 7).at(first, min(CHUNK, rows - first))
            extra = pa.table({"user_id": ids // USERS})
            writer.add(Chunk("train", np.zeros((len(ids), 1, 1, 1), np.uint8), ids % 2, ids, extra))
        for number, split in enumerate(("val", "test"), 1):
            ids = rows + number * 100 + np.arange(100)
            extra = pa.table({"user_id": ids // USERS})
            writer.add(Chunk(split, np.zeros((100, 1, 1, 1), np.uint8), ids % 2, ids, extra))  # type: ignore[arg-type]
        writer.finish()


def anonymous_bytes() -> int:
    """Memory of this process that is no mapped file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024


def measure(folder: Path, list_of_ids: Path, column: str | None) -> None:
    before, began = anonymous_bytes(), time.perf_counter()
    forget = resolve_request(ByIds(path=str(list_of_ids), column=column), ShardReader(folder))
    seconds, used = time.perf_counter() - began, (anonymous_bytes() - before) / 2**20
    cpu = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    print(f"  {len(forget.rows)} rows in {seconds:.1f} s ({cpu:.1f} s CPU with start), {used:.0f} MiB more", flush=True)


def main() -> None:
    place = Path(sys.argv[1])
    for millions in [float(m) for m in sys.argv[2:]] or [2.5, 10.0]:
        rows, folder = int(millions * 1e6), place / f"rows-{millions:g}m"
        if not folder.exists():
            make(folder, rows)
        shards = len(ShardReader(folder).manifest.shards)
        print(f"{rows} rows in {shards} shards, {WANTED} ids, then users:", flush=True)
        for column, values in ((None, EpochOrder(rows, 1).at(0, WANTED)), ("user_id", np.arange(WANTED // USERS))):
            listed = place / f"{column}-{millions:g}m.csv"
            listed.write_text("\n".join([column or "sample_id", *map(str, values)]) + "\n")
            subprocess.run([sys.executable, __file__, "--one", folder, listed, column or ""], check=True)


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        measure(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] or None)
    else:
        main()
