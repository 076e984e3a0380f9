from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.sweep.space import read_sweep
from tests.unit.pipelines.sweep_files import write


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"space": {}}, "space must name at least one setting"),
        ({"space": None}, "space"),
        ({"space": {"optimizer.lr": {"loguniform": [0.1, 0.001]}}}, "must go from low to high"),
        ({"space": {"optimizer.lr": {"loguniform": [0.0, 0.001]}}}, "above 0 for loguniform"),
        ({"space": {"optimizer.lr": {"uniform": [0.1]}}}, "needs two numbers"),
        ({"space": {"optimizer.lr": {"normal": [0.1, 1.0]}}}, "must be one of uniform, loguniform, int, choice"),
        ({"space": {"optimizer.l_r": {"uniform": [0.1, 1.0]}}}, "did you mean optimizer.lr?"),
        ({"space": {"train.epochs": {"int": [1, 3]}}}, "only settings of the unlearning can be searched"),
        ({"space": {"batch_norm": {"choice": []}}}, "choice must not be empty"),
        ({"scheduler": "ahsa"}, "did you mean asha?"),
        ({"algorithm": "bayes"}, "algorithm"),
        ({"algorithm": "grid"}, "grid runs all combinations of choices"),
        ({"objective": "gapp"}, "none of gap, proxy, pareto and the metrics; did you mean gap?"),
        ({"objective": "pareto"}, "set none"),
        ({"trials": 0}, "trials must be at least 1"),
        ({"trails": 3}, "did you mean trials?"),
        ({"reported": {"seeds": [9]}}, "not the tuning seed"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(parts: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_sweep(write(tmp_path, **parts))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_grid_runs_all_combinations(tmp_path: Path) -> None:
    space = {"optimizer.lr": {"choice": [0.01, 0.1]}, "method.lambda_ul": {"choice": [1.0, 2.0, 3.0]}}
    assert read_sweep(write(tmp_path, space=space, algorithm="grid", trials=None)).config.count == 6
