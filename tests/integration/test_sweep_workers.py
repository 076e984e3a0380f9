"""`cu sweep` of trials that are Ray Train runs: long, so in a file of its own, as two files run at a time."""

from __future__ import annotations

from pathlib import Path

from tests.integration.test_sweep import start, trials, write_sweep


def test_trials_of_two_workers_do_not_block_each_other_on_two_cpus(digits: Path, tmp_path: Path) -> None:
    place = write_sweep(tmp_path, digits, workers=2, trials=2, objective="proxy")
    process = start(place)
    _, printed = process.communicate(timeout=1200)
    assert process.returncode == 0, printed
    assert set(trials(place)["state"]) <= {"finished", "stopped"}
