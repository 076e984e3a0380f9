from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cu_core.bench import StepCost
from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from pipelines.bench import step
from pipelines.bench.step import HEADINGS, _cells, run_bench


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was measured; no step is made."""
    seen: list[Any] = []

    def bench(config: RunConfig, batches: Sequence[int], steps: int) -> Iterator[StepCost]:
        seen.append((config, batches, steps))
        for batch in batches:
            yield StepCost(batch, 3 * batch, 0.25, None if batch == 8 else 0.5, batch * 2**20, 2, "cpu")

    monkeypatch.setattr(step, "bench", bench)
    monkeypatch.setenv("COLUMNS", "200")
    return seen


def test_cells_are_in_the_units_of_the_headings() -> None:
    assert len(HEADINGS) == 6
    cells = _cells(StepCost(16, 48, 0.25, 0.456, 3 * 2**19, 1, "cpu"))
    assert cells == ["16", "48", "0.250", "192.0", "0.46", "2"]
    assert _cells(StepCost(16, 48, 0.25, None, 0, 1, "cpu"))[4:] == ["", "0"]


def test_a_row_for_each_batch_size(asked: list[Any], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config, out = RunConfig(), tmp_path / "t.md"
    run_bench(config, [8, 32], 5, out)
    assert asked == [(config, [8, 32], 5)]
    said = capsys.readouterr().err
    assert "one step of contrastive on cpu, 2 thread(s)" in said
    assert "96" in said
    text = out.read_text()
    assert text.startswith("```\ncu ")
    assert "cpu, 2 thread(s), 5 steps after a first one" in text
    assert "| 8 | 24 | 0.250 | 96.0 |  | 8 |\n| 32 | 96 | 0.250 | 384.0 | 0.50 | 32 |\n" in text


def test_without_a_file_none_is_written(asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_bench(RunConfig(), [8], 5, None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_table_is_not_replaced_and_nothing_is_measured(asked: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "t.md"
    out.write_text("my notes")
    with pytest.raises(ConfigError, match="is no table of this program"):
        run_bench(RunConfig(), [8], 5, out)
    assert (asked, out.read_text()) == ([], "my notes")
