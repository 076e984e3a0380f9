"""Constants of scale.md: ``python infra/scale.py DATA`` (a packed set; absent: data/digits)."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from cu_core.data.order import EpochOrder
from cu_core.data.ranges import may_hold
from cu_core.data.schema import MANIFEST, read_manifest, write_manifest

SHARDS, ROWS, DRAWN = 100_000, 10**10, 100_000


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    small = read_manifest(Path(sys.argv[1] if len(sys.argv) > 1 else "data/digits"))
    rows = ROWS // SHARDS
    shards = [
        replace(small.shards[0], path=f"train-{i:08d}.arrow", batch_rows=(rows,),
                ranges={"sample_id": (i * rows, (i + 1) * rows - 1), "label": (0, 999)})
        for i in range(SHARDS)
    ]  # fmt: skip
    large = replace(small, shards=tuple(shards))
    with tempfile.TemporaryDirectory() as place:
        write_manifest(Path(place), large)
        print(f"manifest: {(Path(place) / MANIFEST).stat().st_size / SHARDS:.0f} bytes a shard")
        print(f"reading it: {seconds(lambda: read_manifest(Path(place))) * 1e6 / SHARDS:.1f} s a million shards")
    print(f"its digest: {seconds(lambda: large.digest) * 1e6 / SHARDS:.1f} s a million shards")
    schema = pa.schema([("sample_id", pa.int64()), ("label", pa.int64())])
    wanted = pc.field("sample_id").isin(pa.array(EpochOrder(ROWS, 1).at(0, 10)))
    print(
        f"shards of 10 ids: {seconds(lambda: may_hold(shards, schema, wanted)) * 1e6 / SHARDS:.1f} s a million shards"
    )
    print(f"drawing {DRAWN} of {ROWS} rows: {seconds(lambda: EpochOrder(ROWS, 0).at(0, DRAWN)):.2f} s")


if __name__ == "__main__":
    main()
