from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from cu_core.data.csv_source import read_table
from cu_core.data.sources import SourceOptions
from cu_core.errors import DataError


def test_columns_with_a_role_are_text_and_others_have_their_type(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("path; label ;user;score\n1.png;007;3;0.5\n2.png;8;4;1\n")
    notes: dict[str, int] = {}
    table = read_table(tmp_path / "x.csv", SourceOptions(), notes)
    assert table.schema.types == [pa.string(), pa.string(), pa.int64(), pa.float64()]
    assert table["label"].to_pylist() == ["007", "8"]
    assert notes == {"rows of x.csv, columns separated by ';', utf-8": 2}


def test_rows_of_other_lengths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("path,label\na,b,c\n")
    with pytest.raises(DataError, match="not a table separated by ','.*Expected 2 columns, got 3"):
        read_table(tmp_path / "x.csv", SourceOptions(), {})
