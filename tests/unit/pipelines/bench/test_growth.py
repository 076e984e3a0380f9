from __future__ import annotations

import json
from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.bench import growth
from pipelines.bench.growth import Cell, Cost, cells, cost_of, run_growth, write_data


def test_each_axis_is_varied_with_the_first_sizes_of_the_others() -> None:
    found = cells([10, 20], [2, 3], [4, 5], 7)
    assert found == [Cell(10, 2, 4, 7), Cell(20, 2, 4, 7), Cell(10, 3, 4, 7), Cell(10, 2, 5, 7)]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (([0], [2], [1], 1), "must be at least 1"),
        (([1], [2], [1], 0), "must be at least 1"),
        (([], [2], [1], 1), "must be at least 1"),
        (([1], [1], [1], 1), "--classes must be at least 2, got 1"),
        (([10**9], [2], [1], 1), "at most 100,000,000 rows"),
    ],
)
def test_sizes_that_cannot_be_measured(sizes: tuple[list[int], list[int], list[int], int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cells(*sizes)


def test_a_cell_runs_all_its_steps_on_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(retain=300, classes=3, forget=20, steps=2)
    monkeypatch.setattr(growth, "ROWS_AT_ONCE", 128)
    monkeypatch.setattr(growth, "UNSEEN", 40)
    write_data(tmp_path / "data", cell)
    reader = growth.fresh_loop(growth.config_of(tmp_path / "data", cell), growth.Hooks(), 1).stream.split.reader
    assert (reader.num_rows("train"), len(reader.manifest.shards), reader.manifest.num_classes) == (320, 5, 3)
    cost = cost_of(cell, tmp_path)  # a process of its own: one that has freed memory may need no more
    assert 0 < cost.first_step_seconds < cost.seconds
    assert cost.peak_bytes > 0


def test_a_finished_cell_is_kept_and_the_page_has_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Cell] = []

    def once(cell: Cell, folder: Path) -> Cost:
        made.append(cell)
        return Cost(1.0, 2.0 * cell.forget, cell.retain * 2**20)

    with monkeypatch.context() as patch:
        patch.setattr(growth, "cost_of", once)
        run_growth(tmp_path, [10, 20], [2, 4], [1, 3], 5)
    assert len(made) == 4
    text = (tmp_path / "growth.md").read_text()
    assert "| 20 | 1.00 | 1.00 | 2.00 | 1.00 | 20.00 | 2.00 |" in text
    assert "| 3 | 1.00 | 1.00 | 6.00 | 3.00 | 10.00 | 1.00 |" in text
    assert "What is not varied: 10 retain rows, 2 classes, 1 forget rows." in text
    assert (tmp_path / "growth.svg").read_text().startswith("<svg")
    assert "By forget rows" in capsys.readouterr().err
    kept = tmp_path / "cells" / "retain-10-classes-2-forget-1-steps-5.json"
    kept.parent.mkdir()
    kept.write_text(json.dumps({"first_step_seconds": 1, "seconds": 2, "peak_bytes": 3}))
    monkeypatch.setattr(growth, "write_data", lambda *a: pytest.fail("it was measured before"))
    assert cost_of(made[0], tmp_path) == Cost(1, 2, 3)
