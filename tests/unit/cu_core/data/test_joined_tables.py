from __future__ import annotations

import pyarrow as pa

from cu_core.data.joined_tables import joined


def test_tables_are_joined_up_to_a_number_of_rows_and_by_schema() -> None:
    parts = [pa.table({"a": [n] * 3}) for n in range(5)] + [pa.table({"b": [1]})]
    assert [t.column(0).to_pylist() for t in joined(parts, 6)] == [[0] * 3 + [1] * 3, [2] * 3 + [3] * 3, [4] * 3, [1]]
    assert list(joined([], 6)) == []
