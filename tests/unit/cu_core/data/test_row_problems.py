from __future__ import annotations

import pytest

from cu_core.data.row_problems import SHOWN, RowProblems
from cu_core.errors import DataError


def test_all_problems_are_named_and_the_rest_counted() -> None:
    problems = RowProblems("parquet:x")
    problems.refuse()
    assert not problems
    problems.add("rows have no label", "a.parquet", range(SHOWN + 2))
    problems.add("ids occur more than once", "'7'")
    with pytest.raises(DataError) as caught:
        problems.refuse("Mend them.")
    text = str(caught.value)
    assert text.startswith(f"parquet:x: {SHOWN + 2} rows have no label: a.parquet row 0, ")
    assert f"row {SHOWN - 1} and 2 more; 1 ids occur more than once: '7'. Mend them. Nothing was written." in text
    assert f"row {SHOWN}," not in text
