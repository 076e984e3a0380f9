from __future__ import annotations

from pathlib import Path

import numpy as np

from cu_core.api_data import open_data, select

ROWS = [(np.full((1, 4, 4), number, np.uint8), number % 2) for number in range(40)]


def test_a_data_set_is_packed_once_and_its_rows_are_asked_for_by_index(tmp_path: Path) -> None:
    data = open_data(ROWS, tmp_path / "packed", class_names=["even", "odd"])
    assert data.manifest.class_names == ("even", "odd")
    assert open_data(tmp_path / "packed").manifest.digest == data.manifest.digest
    forget = select(data, classes=["odd"])
    assert (forget.sample_ids % 2 == 1).all()
    assert repr(forget) == f"ForgetSet(kind='class', classes=(1,), {len(forget.rows)} rows, digest='{forget.digest}')"
