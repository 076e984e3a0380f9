from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from cu_core.data.hf_source import hub_files, saved_files
from cu_core.data.sources import SourceOptions
from cu_core.errors import DataError
from tests.hostile.table_inputs import json_file, packed, pngs, stream_file


class HubRows:
    """What this project uses of a ``datasets.Dataset``."""

    def __init__(self, table: pa.Table):
        self.table = table
        self.features = SimpleNamespace(arrow_schema=table.schema)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def with_format(self, kind: str) -> HubRows:
        assert kind == "arrow"
        return self

    def select_columns(self, names: Sequence[str]) -> HubRows:
        return HubRows(self.table.select(names))

    def iter(self, rows: int) -> Iterator[pa.Table]:
        yield self.table


def test_splits_of_the_hub_are_packed_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load_dataset(name: str, config: str | None) -> dict[str, HubRows]:
        asked.append((name, config))
        return {s: HubRows(pa.table({"image": pngs(4, n), "label": [0, 1] * 2}))
                for n, s in ((0, "train"), (50, "validation"))}  # fmt: skip

    library = ModuleType("datasets")
    library.load_dataset = load_dataset  # type: ignore[attr-defined]
    library.exceptions = SimpleNamespace(DatasetsError=RuntimeError)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", library)
    reader = packed("hf:some/name:small", tmp_path / "out")
    assert (reader.num_rows("val"), reader.manifest.name) == (4, "some-name-small")
    assert asked == [("some/name", "small")]
    assert [file.num_rows for file in hub_files("x")] == [4, 4]


def test_the_split_of_one_saved_set_is_in_its_state(tmp_path: Path) -> None:
    stream_file(tmp_path / "a.arrow", pa.table({"x": [1]}))
    json_file(tmp_path / "state.json", {"_data_files": [{"filename": "a.arrow"}], "_split": "validation"})
    (file,) = saved_files(tmp_path, SourceOptions())
    assert (file.split, file.num_rows, file.name) == ("val", 1, "a.arrow")
    (tmp_path / "state.json").unlink()
    with pytest.raises(DataError, match="not a folder of save_to_disk"):
        saved_files(tmp_path, SourceOptions())
