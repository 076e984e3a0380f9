from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from tests.unit.pipelines.commands import Cu


def test_step_measures_two_batch_sizes_or_those_that_are_given(cu: Cu, run_file: Path, tmp_path: Path) -> None:
    with patch("pipelines.bench.step.run_bench", autospec=True) as run:
        assert cu("bench", "step", run_file, "seed=1").status == 0
        cu("bench", "step", run_file, "--batch", 8, "--batch", 32, "--steps", 5, "--out", tmp_path / "t.md")
    (settings, *rest), (_, *given) = (call.args for call in run.call_args_list)
    assert (settings.seed, rest) == (1, [[16, 64], 3, None])
    assert given == [[8, 32], 5, tmp_path / "t.md"]


def test_scaling_measures_up_to_eight_workers_or_those_that_are_given(cu: Cu, run_file: Path, tmp_path: Path) -> None:
    with patch("pipelines.bench.scaling.run_scaling", autospec=True) as run:
        assert cu("bench", "scaling", run_file, "seed=1").status == 0
        cu("bench", "scaling", run_file, "--workers", 1, "--workers", 3, "--steps", 5, "--out", tmp_path / "t.md")
    (settings, *rest), (_, *given) = (call.args for call in run.call_args_list)
    assert (settings.seed, rest) == (1, [[1, 2, 4, 8], 20, None])
    assert given == [[1, 3], 5, tmp_path / "t.md"]


def test_start_measures_this_checkout_or_those_that_are_given(cu: Cu, tmp_path: Path) -> None:
    with patch("pipelines.bench.start.run_starts", autospec=True) as run:
        assert cu("bench", "start").status == 0
        cu("bench", "start", "--tree", "a", "--tree", "b", "--times", 1, "--out", tmp_path / "t.md")
    first, second = (call.args for call in run.call_args_list)
    assert first == ([], 3, None)
    assert second == ([Path("a"), Path("b")], 1, tmp_path / "t.md")


@pytest.mark.parametrize(
    ("words", "message"),
    [(["start", "--times", "0"], "--times"), (["step", "absent.yaml"], "no configuration file absent.yaml")],
)
def test_what_cannot_be_measured_is_refused(words: list[str], message: str, cu: Cu) -> None:
    with patch("pipelines.bench.start.run_starts", autospec=True) as run:
        ran = cu("bench", *words)
    assert ran.status == 2
    assert message in ran.err
    run.assert_not_called()
