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


def test_empty_cells_of_texts_are_no_value_and_numbers_keep_their_zeros(tmp_path: Path) -> None:
    lines = [
        "path,label,user,zip,long,small",
        "1.png,a,anna,0005,12345678901234567890,5",
        "2.png,b,,12,7,",
        "3.png,c,NA,,,7",
    ]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    notes: dict[str, int] = {}
    table = read_table(tmp_path / "x.csv", SourceOptions(), notes)
    assert table["user"].to_pylist() == ["anna", None, "NA"]
    assert table["zip"].to_pylist() == ["0005", "12", None]
    assert table["long"].to_pylist() == ["12345678901234567890", "7", None]
    assert table["small"].to_pylist() == [5, None, 7]
    assert "kept as texts, column 'zip', whose numbers would lose digits" in notes
    assert not any("'small'" in note for note in notes)


@pytest.mark.parametrize("line", ["path label", "path:label"])
def test_other_separators_are_told_which_there_are(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.csv").write_text(f"{line}\n{line}\n")
    with pytest.raises(DataError, match=f"no column beside '{line}': .*none of the separators , ; tab"):
        read_table(tmp_path / "x.csv", SourceOptions(), {})
