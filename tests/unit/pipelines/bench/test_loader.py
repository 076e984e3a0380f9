from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.config_io import config_from
from cu_core.errors import UserError
from pipelines.bench import loader


def test_each_number_of_threads_has_a_row_beside_the_bare_reading(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = iter([500.0, 100.0, 150.0])
    monkeypatch.setattr(loader, "_speed", lambda read, batches: next(speeds))
    config = config_from({"data": {"path": str(digits)}})
    loader.run_loader(config, [1, 2], 300, tmp_path / "loader.md")
    table = [line for line in (tmp_path / "loader.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert [line.replace("|", "").split() for line in table] == [
        ["numpy.take", "1", "500", "5.00"], ["reader", "1", "100", "1.00"], ["reader", "2", "150", "1.50"],
    ]  # fmt: skip


def test_rows_a_second_are_of_all_batches_after_a_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 14.0])
    monkeypatch.setattr(loader.time, "perf_counter", lambda: next(clock))
    seen: list[int] = []
    assert loader._speed(lambda rows: seen.append(len(rows)), [np.arange(6), np.arange(2)]) == 2.0
    assert seen == [6, 6, 2]


@pytest.mark.parametrize(("threads", "rows"), [([], 5), ([0], 5), ([1], 0)])
def test_what_measures_nothing_is_refused(threads: list[int], rows: int, digits: Path) -> None:
    with pytest.raises(UserError, match="must be at least 1"):
        loader.run_loader(config_from({"data": {"path": str(digits)}}), threads, rows, None)
