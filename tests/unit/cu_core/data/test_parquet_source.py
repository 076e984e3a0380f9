from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.data.parquet_source import BATCH_BYTES, parquet_file
from cu_core.errors import DataError
from tests.hostile import table_inputs


def test_few_rows_are_read_at_once_where_rows_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table_inputs.parquet_file(tmp_path / "x.parquet", {"a": [bytes([n]) * 1000 for n in range(64)]})
    assert [b.num_rows for b in parquet_file(path, Path("x"), 1).read(None)] == [64]
    monkeypatch.setattr("cu_core.data.parquet_source.BATCH_BYTES", 16_500)
    sizes = [b.num_rows for b in parquet_file(path, Path("x"), 1).read(["a"])]
    assert sum(sizes) == 64
    assert max(sizes) <= 16
    assert BATCH_BYTES == 64 * 2**20


def test_a_file_that_is_damaged_behind_its_footer_is_named_when_read(tmp_path: Path) -> None:
    path = table_inputs.parquet_file(tmp_path / "x.parquet", {"a": list(range(1000))})
    raw = bytearray(path.read_bytes())
    raw[4:200] = b"\xff" * 196
    path.write_bytes(raw)
    file = parquet_file(path, Path("val/x.parquet"), 1)
    assert file.split == "val"
    with pytest.raises(DataError, match=r"x.parquet is damaged"):
        list(file.read(None))
