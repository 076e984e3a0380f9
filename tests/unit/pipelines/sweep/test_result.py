from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.pipelines.sweep_files import result, trial


def test_the_proxy_is_compared_with_the_gap_by_ranks(tmp_path: Path) -> None:
    pairs = [(1.0, 10.0), (2.0, 1000.0), (3.0, 20.0)]  # ranks 1 3 2: 1 - 6 * 2 / (3 * 8) = 0.5
    trials = [trial(i, proxy=proxy, gap=gap) for i, (proxy, gap) in enumerate(pairs)]
    stopped = trial(3, "stopped")
    assert result(tmp_path, [*trials, stopped], [1.0], [1.0]).rank_correlation == pytest.approx(0.5)
    assert result(tmp_path, [*trials[:2], stopped], [1.0], [1.0]).rank_correlation is None
    assert result(tmp_path, [trial(i, proxy=float(i)) for i in range(4)], [1.0], [1.0]).rank_correlation is None


@pytest.mark.parametrize(
    ("base", "winner", "better"),
    [([2.0, 4.0], [1.0, 4.0], True), ([2.0], [2.0], False), ([1.0, 1.0], [0.5, float("inf")], False)],
)
def test_the_winner_is_better_if_its_mean_is_lower(
    base: list[float], winner: list[float], better: bool, tmp_path: Path
) -> None:
    assert result(tmp_path, [trial(0)], base, winner).better is better
