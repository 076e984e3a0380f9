"""Sweep files for tests."""

from __future__ import annotations

from pathlib import Path

import yaml

from pipelines.sweep.ray_tune import TrialResult
from pipelines.sweep.result import DEFAULT, WINNER, SweepResult
from pipelines.sweep.space import read_sweep

SPACE = {"optimizer.lr": {"loguniform": [0.001, 0.1]}}


def write(folder: Path, **parts: object) -> Path:
    """Write a base with one oracle and a sweep of the learning rate, changed by ``parts`` (``None``: left out)."""
    (folder / "base.yaml").write_text(yaml.safe_dump({"audit": {"oracles": 1}}))
    request = {"kind": "by_class", "classes": [7]}
    values = {"base": "base.yaml", "tuning": {"request": request}, "space": SPACE, "trials": 4, **parts}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))
    return path


def trial(number: int, state: str = "finished", *, reason: str = "", rate: float = 0.01, **found: float) -> TrialResult:
    """Return a trial of the learning rate with these figures and one check on the stop set."""
    return TrialResult(number, {"optimizer.lr": rate}, state, found, reason, [(25.0, 9.0)], (100.0, 101.5))


def result(
    folder: Path, trials: list[TrialResult], base: list[float], winner: list[float], **parts: object
) -> SweepResult:
    """Return a finished sweep whose first trial has won, with these figures on fresh seeds."""
    again = {DEFAULT: base, WINNER: winner}
    return SweepResult(read_sweep(write(folder, **parts)), "s", trials, trials[0], trials[:2], again, "gap", folder)
