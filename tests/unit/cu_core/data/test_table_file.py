from __future__ import annotations

import numpy as np
import pyarrow as pa

from cu_core.data.table_file import TableFile


def test_rows_are_numbered_as_in_the_whole_file() -> None:
    def file(numbers: np.ndarray | None) -> TableFile:
        return TableFile("a.csv", None, 5, pa.schema([]), lambda columns: iter(()), numbers)

    assert list(file(None).rows(2, 3)) == [2, 3, 4]
    assert list(file(np.array([0, 4, 9, 11, 12])).rows(2, 3)) == [9, 11, 12]
