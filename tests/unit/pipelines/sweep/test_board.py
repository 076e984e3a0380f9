"""Progress of a sweep."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from pipelines.sweep import board as boards
from pipelines.sweep.board import Board
from pipelines.sweep.space import read_sweep
from tests.unit.pipelines.sweep_files import write


def trial(status: str, rate: float = 0.01, **result: Any) -> Any:
    return SimpleNamespace(status=status, last_result=result, config={"optimizer.lr": rate})


TRIALS = [
    trial("TERMINATED", finished=1.0, objective=3.0),
    trial("TERMINATED", 0.0123456, finished=1.0, objective=2.0),
    trial("TERMINATED", done=True, objective=1.0),  # a scheduler ended it: its objective is that of a check
    trial("TERMINATED"),  # by Ctrl-C
    trial("ERROR"),
    trial("RUNNING", objective=0.5),
    trial("PENDING"),
]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(read_sweep(write(tmp_path, trials=9)), lambda cell: None)  # type: ignore[arg-type]


def shown(board: Board) -> list[str]:
    out = Console(file=io.StringIO(), width=120)
    out.print(board._table())
    return [" ".join(line.split()) for line in out.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_the_table_counts_trials_by_state_and_names_the_best_finished(board: Board) -> None:
    assert shown(board)[-1] == "to come 9"
    board.on_step_end(1, TRIALS)
    assert shown(board) == [
        "running 1", "finished 2", "stopped early 1", "failed 1", "to come 4",
        "best objective so far 2.000 optimizer.lr=0.01235",
    ]  # fmt: skip


def test_a_sweep_is_interrupted_until_every_trial_has_ended(tmp_path: Path) -> None:
    board = Board(read_sweep(write(tmp_path, trials=3)), lambda cell: None)  # type: ignore[arg-type]
    ended = [TRIALS[0], TRIALS[2], TRIALS[4]]
    board.on_experiment_end([*ended[:2], TRIALS[3]])
    assert board.interrupted
    board.on_experiment_end(ended)
    assert not board.interrupted


def test_a_trial_is_recorded_only_if_it_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[Any] = []
    monkeypatch.setattr(boards, "trial_cell", lambda sweep, drawn: drawn)
    board = Board(read_sweep(write(tmp_path)), recorded.append)  # type: ignore[arg-type]
    for one in TRIALS[1:4]:
        board.on_trial_complete(1, TRIALS, one)
    assert recorded == [{"optimizer.lr": 0.0123456}]


def test_a_stored_board_is_that_of_the_process_that_reads_it(board: Board) -> None:
    stored = pickle.dumps(board)
    with board:
        assert pickle.loads(stored) is board
    with pytest.raises(IndexError):
        pickle.loads(stored)
