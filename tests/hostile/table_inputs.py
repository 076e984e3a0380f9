"""Tiny tables, tars and JSON files that tests write."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cu_core.data.convert import SplitPlan, pack
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions
from cu_core.errors import DataError

PLAN = SplitPlan(val_frac=0.25, test_frac=0.25)


def png(value: int, size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def pngs(count: int, first: int = 0) -> list[bytes]:
    return [png(first + number) for number in range(count)]


def parquet_file(path: Path, columns: Mapping[str, Any] | pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(dict(columns)), path)
    return path


def arrow_file(path: Path, columns: Mapping[str, Any] | pa.Table, rows: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    with pa.ipc.new_file(str(path), table.schema) as out:
        out.write_table(table, max_chunksize=rows)
    return path


def stream_file(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_stream(str(path), table.schema) as out:
        out.write_table(table)
    return path


def tar_file(path: Path, files: Sequence[tuple[str, bytes]] | Mapping[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items() if isinstance(files, Mapping) else files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def json_file(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def image_files(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(png(number))
    return folder


def packed(spec: str, out: Path, **options: Any) -> ShardReader:
    pack(spec, out, PLAN, SourceOptions(**options), lambda done, total: None)
    return ShardReader(out, image_size=4)


def rows_of(reader: ShardReader, column: str) -> list[Any]:
    """The values of a column over all splits, in the order of the sample_ids."""
    batches = [batch for shard in reader.manifest.shards for batch in reader.batches(shard)]
    table = pa.Table.from_batches(batches).sort_by("sample_id")
    return table[column].to_pylist()  # type: ignore[no-any-return]


def classes_by_pixel(reader: ShardReader) -> dict[int, str]:
    """Value of the image's pixels -> name of its class, over all splits."""
    found = {}
    for split in ("train", "val", "test"):
        rows = np.arange(reader.num_rows(split))
        if len(rows):
            pixels = reader.images(split, rows)[:, 0, 0, 0].tolist()
            names = [reader.manifest.class_names[label] for label in reader.labels(split, rows)]
            found |= dict(zip(pixels, names, strict=True))
    return found


COUNT = 8


def columns(**more: Any) -> dict[str, Any]:
    return {"image": pngs(COUNT), "label": [number % 2 for number in range(COUNT)], **more}


def refused(spec: str, out: Path, match: str, **options: Any) -> None:
    with pytest.raises(DataError, match=match) as caught:
        packed(spec, out, **options)
    assert len(str(caught.value)) < 2000
    assert not out.exists()
    assert not list(out.parent.glob(".*partial"))
