from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cu_core.data.requests import ByIds
from cu_core.errors import ConfigError
from cu_core.methods.contrastive import Contrastive
from pipelines.sweep.space import read_sweep

SWEEPS = Path(__file__).parents[4] / "tune_configs" / "sweeps"
SPACE = {"optimizer.lr": {"loguniform": [0.001, 0.1]}}


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_file_is_complete(path: Path) -> None:
    sweep = read_sweep(path)
    head = path.read_text().splitlines()
    assert head[0].startswith(f"# cu sweep tune_configs/sweeps/{path.name}")
    about = "".join(line for line in head if line.startswith("#")).lower()
    assert "not run here" in about or "minutes" in about
    assert sweep.config.count >= 1
    for seed, config in zip(sweep.config.reported.seeds, sweep.reported_configs(sweep.first), strict=False):
        assert config.seed == seed
        assert config.audit.report_on == "test"
    assert sweep.trial_config(sweep.first).audit.report_on == "stop"


def write(folder: Path, **parts: object) -> Path:
    (folder / "base.yaml").write_text(yaml.safe_dump({"audit": {"oracles": 1}}))
    request = {"kind": "by_class", "classes": [7]}
    values = {"base": "base.yaml", "tuning": {"request": request}, "space": SPACE, "trials": 4, **parts}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))
    return path


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
        ({"space": {**SPACE, "method.lamda_ul": {"uniform": [0.1, 1.0]}}}, "space.method.lamda_ul: unknown key"),
        ({"space": {"method.temperature": {"uniform": [-1.0, 1.0]}}}, "temperature: Input should be greater than 0"),
        ({"space": {"train.epochs": {"int": [1, 3]}}}, "only settings of the unlearning can be searched"),
        ({"space": {"batch_norm": {"choice": []}}}, "choice must not be empty"),
        ({"scheduler": "ahsa"}, "did you mean asha?"),
        ({"algorithm": "bayes"}, "algorithm"),
        ({"algorithm": "grid"}, "grid runs all combinations of choices"),
        ({"objective": "gapp"}, "none of gap, proxy, pareto and the metrics; did you mean gap?"),
        ({"objective": "pareto"}, "set none"),
        ({"trials": 0}, "trials must be at least 1"),
        ({"trails": 3}, "did you mean trials?"),
        ({"set": {"audit": {"oracles": 0}}}, "needs an oracle"),
        ({"reported": {"seeds": [9]}}, "not the tuning seed"),
        ({"set": {"stop": {"rule": "none"}}}, "do not look at the stop set"),
        ({"base": "absent.yaml"}, "no configuration file"),
        ({"reparametrise": True}, "whose space holds lambda_ul and temperature"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(parts: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_sweep(write(tmp_path, **parts))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_same_thing_is_not_searched_twice(tmp_path: Path) -> None:
    space = {"method.lambda_ul": {"loguniform": [0.1, 1.0]}, "method.temperature": {"loguniform": [0.1, 0.5]}}
    with pytest.raises(ConfigError, match="act only by their ratio"):
        read_sweep(write(tmp_path, space=space))
    sweep = read_sweep(write(tmp_path, space=space, reparametrise=True))
    plain = read_sweep(write(tmp_path)).trial_config({}).method
    assert isinstance(plain, Contrastive)
    # every ratio of the two ranges, 0.2 to 10, at the temperature that stays
    low, high = sweep.space["method.lambda_ul"]["loguniform"]
    assert (low / plain.temperature, high / plain.temperature) == pytest.approx((0.1 / 0.5, 1.0 / 0.1))
    samples = {"request": {"kind": "by_random", "count": 60}}
    assert read_sweep(write(tmp_path, space=space, tuning=samples, scheduler="none")).space == space


def test_calibration_needs_oracles_and_a_proxy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="objective=proxy"):
        read_sweep(write(tmp_path), calibrate=True)
    path = write(tmp_path, objective="proxy")
    assert read_sweep(path).trial_config({}).audit.oracles == 0
    assert read_sweep(path, calibrate=True).trial_config({}).audit.oracles == 1


def test_grid_runs_all_combinations(tmp_path: Path) -> None:
    space = {"optimizer.lr": {"choice": [0.01, 0.1]}, "method.lambda_ul": {"choice": [1.0, 2.0, 3.0]}}
    assert read_sweep(write(tmp_path, space=space, algorithm="grid", trials=None)).config.count == 6


def test_requests_in_files_hold_in_trials_which_run_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text("1\n")
    request = {"kind": "by_id", "path": "ids.txt"}
    others = [{**request, "path": str(tmp_path / "others.txt")}]
    sweep = read_sweep(write(tmp_path, tuning={"request": request}, reported={"requests": others}, scheduler="none"))
    monkeypatch.chdir("/")
    assert sweep.trial_config(sweep.first).request == ByIds(path=str(tmp_path / "ids.txt"))
    assert sweep.reported_configs(sweep.first)[0].request == ByIds(path=str(tmp_path / "others.txt"))
