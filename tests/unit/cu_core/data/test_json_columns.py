from __future__ import annotations

import pyarrow as pa

from cu_core.data.json_columns import JsonColumns


def test_a_column_has_the_type_that_holds_all_its_values() -> None:
    rows = [{"i": 1, "f": 1, "b": True, "m": 1, "n": None}, {"i": None, "f": 0.5, "b": False, "m": True, "big": 2**64}]
    columns, notes = JsonColumns(), dict[str, int]()
    for row in rows:
        columns.see(row)
    columns.settle(("i",), notes)
    assert columns.types == {
        "i_in_json": pa.int64(),
        "f": pa.float64(),
        "b": pa.bool_(),
        "m": pa.string(),
        "n": pa.string(),
        "big": pa.string(),
    }
    assert columns.values(rows[0]) == {"i_in_json": 1, "f": 1, "b": True, "m": "1", "n": None}
    assert columns.values(rows[1])["big"] == str(2**64)
    assert notes == {"renamed, 'i' of the .json files to 'i_in_json'": 1}
