from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from tests.unit.pipelines.commands import Cu


def swept(*states: str, correlation: float | None = None) -> SimpleNamespace:
    trials = [SimpleNamespace(number=n, state=s, reason=f"reason {n}") for n, s in enumerate(states)]
    return SimpleNamespace(trials=trials, rank_correlation=correlation, folder=Path("/outputs/sweeps/a"))


@pytest.fixture
def heavy() -> Iterator[SimpleNamespace]:
    with (
        patch("pipelines.sweep.run.run_sweep", autospec=True, return_value=swept("finished")) as run,
        patch("pipelines.sweep.space.read_sweep", autospec=True) as read,
        patch("pipelines.sweep.page.conclusion", autospec=True, return_value="the winner"),
    ):
        yield SimpleNamespace(run=run, read=read)


@pytest.mark.parametrize(
    ("words", "read", "run"),
    [
        ([], ([], False), ("run", False)),
        (["trials=4", "--calibrate"], (["trials=4"], True), ("run", False)),
        (["--name", "a"], ([], False), ("a", False)),
        (["--resume", "a"], ([], False), ("a", True)),
    ],
)
def test_the_sweep_has_the_name_of_its_file_or_the_one_that_is_given(
    words: list[str], read: tuple[object, ...], run: tuple[object, ...], heavy: SimpleNamespace, cu: Cu, run_file: Path
) -> None:
    assert cu("sweep", run_file, *words).status == 0
    heavy.read.assert_called_once_with(run_file, *read)
    heavy.run.assert_called_once_with(heavy.read.return_value, *run)


@pytest.mark.parametrize(
    ("file", "words", "message"),
    [
        ("run.yaml", ["--name", "a", "--resume", "b"], "a sweep that goes on keeps its name; give one of them."),
        ("absent.yaml", [], "absent.yaml; complete ones are in tune_configs/sweeps/."),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    file: str, words: list[str], message: str, heavy: SimpleNamespace, cu: Cu, run_file: Path
) -> None:
    ran = cu("sweep", run_file.parent / file, *words)
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert ran.err.endswith(f"{message}\n")
    heavy.run.assert_not_called()


def test_the_result_and_its_files_are_printed(heavy: SimpleNamespace, cu: Cu, run_file: Path) -> None:
    folder = "/outputs/sweeps/a"
    files = f"report  {folder}/report.html\nwinner  cu unlearn {folder}/winner.yaml\n"
    assert cu("sweep", run_file).err == f"the winner\n{files}"
    heavy.run.return_value = swept("finished", "stopped", "finished", correlation=0.5)
    correlation = "rank correlation of proxy and gap: 0.50 over 2 finished trials\n"
    assert cu("sweep", run_file).err == f"the winner\n{correlation}{files}"


def test_a_failed_trial_is_told_and_gives_status_one(heavy: SimpleNamespace, cu: Cu, run_file: Path) -> None:
    heavy.run.return_value = swept("finished", "failed", "stopped")
    ran = cu("sweep", run_file)
    assert ran.status == 1
    assert ran.err.startswith("trial 1 failed: reason 1\nthe winner\n")
    assert "reason 0" not in ran.err
    assert "winner.yaml" in ran.err
