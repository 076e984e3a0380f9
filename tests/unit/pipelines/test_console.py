"""Lines and bars of a running command."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cu_core.types import StepReport
from pipelines import console as output
from pipelines.console import Bars, counted, describe, new_progress


def test_a_count_has_its_plural() -> None:
    assert [counted(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


def test_a_step_is_described_by_its_loss_if_it_has_one() -> None:
    assert describe(StepReport(1, 2, {"loss": 0.12345, "lr": 1.0})) == "loss 0.123"
    assert describe(StepReport(1, 2, {"loss": 0.0})) == "loss 0.000"
    assert describe(StepReport(1, 2, {})) == ""


def test_a_label_has_one_bar_whose_total_may_change() -> None:
    bars = Bars(new_progress())
    for label, done, total in (("a", 1, 5), ("b", 1, 2), ("a", 3, 9)):
        bars.update(label, done, total, f"note {done}")
    found = [(t.description, t.completed, t.total, t.fields["note"]) for t in bars.progress.tasks]
    assert found == [("a", 3, 9, "note 3"), ("b", 1, 2, "note 1")]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_log_gets_a_line_now_and_then_while_a_bar_moves(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    written, now = io.StringIO(), [0.0]
    monkeypatch.setattr(output, "console", Console(file=written, force_terminal=terminal, width=80))
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    bars = Bars(new_progress())
    for second, done in ((0, 1), (20, 2), (31, 3), (40, 4), (70, 4), (101, 4), (102, 5)):
        now[0] = float(second)
        bars.update("train", done, 9, "loss 1.0")
    # At 31 s it moved since the first; at 70 s since that; at 101 s it stands still; at 102 s it moved again.
    lines = [] if terminal else [f"train: {done} of 9  loss 1.0" for done in (3, 4, 5)]
    assert written.getvalue().splitlines() == lines
