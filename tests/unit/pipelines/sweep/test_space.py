"""What a sweep file says, and the configurations that follow from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.data.requests import ByIds
from cu_core.errors import ConfigError
from cu_core.methods.contrastive import Contrastive
from pipelines.sweep.space import read_sweep, seeded
from tests.unit.pipelines.sweep_files import SPACE, write

SWEEPS = Path(__file__).parents[4] / "tune_configs" / "sweeps"
RATIO = {"method.lambda_ul": {"loguniform": [0.1, 1.0]}, "method.temperature": {"loguniform": [0.1, 0.5]}}


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


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"space": {**SPACE, "method.lamda_ul": {"uniform": [0.1, 1.0]}}}, "space.method.lamda_ul: unknown key"),
        ({"space": {"method.temperature": {"uniform": [-1.0, 1.0]}}}, "temperature: Input should be greater than 0"),
        ({"set": {"audit": {"oracles": 0}}}, "needs an oracle"),
        ({"set": {"stop": {"rule": "none"}}}, "do not look at the stop set"),
        ({"base": "absent.yaml"}, "no configuration file"),
        ({"reparametrise": True}, "whose space holds lambda_ul and temperature"),
        ({"objective": "mia_auc", "set": {"audit": {"oracles": 0}}}, "objective: mia_auc needs an oracle"),
        ({"objective": "memorisation_left"}, "objective: memorisation_left is for sample requests."),
        ({"objective": "forget_js"}, "objective: forget_js compares with two oracles or more."),
        ({"objective": "other_data_accuracy"}, "objective: other_data_accuracy is for image-text models."),
        ({"reported": {"requests": [{"kind": "by_random", "count": 5, "seed": 9}]},
          "tuning": {"request": {"kind": "by_random", "count": 5}}, "scheduler": "none"},
         "tuning.request: what decides must not be reported"),
        ({"objective": "proxy", "set": {"audit": {"oracles": 0, "audits": ["accuracy", "membership"]}}},
         "audit.audits: without oracles the winner is judged by accuracy, membership, rebound"),
        ({"space": {"method.lambda_ul": {"choice": [0.1, 1.0]}, "method.temperature": {"choice": [0.1, 0.5]}},
          "algorithm": "grid", "trials": None, "reparametrise": True}, "grid runs choices"),
        ({"space": {**RATIO, "method.lambda_ul": {"uniform": [0.0, 1.0]}}, "reparametrise": True},
         "the range of lambda_ul must lie above 0"),
    ],
)  # fmt: skip
def test_what_a_run_would_refuse_is_one_line(parts: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_sweep(write(tmp_path, **parts))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_trials_are_judged_on_the_stop_set_of_the_tuning_request(tmp_path: Path) -> None:
    sweep = read_sweep(write(tmp_path, objective="probe_accuracy", set={"seed": 5, "request": {"kind": "by_class"}}))
    assert sweep.first == {"optimizer.lr": 0.001}
    trial = sweep.trial_config({"optimizer.lr": 0.02})
    assert (trial.optimizer.lr, trial.seed, trial.request.classes) == (0.02, 9, (7,))  # type: ignore[union-attr]
    assert set(trial.audit.audits or ()) == {"accuracy", "membership", "rebound", "representation"}
    reported = sweep.reported_configs({})
    assert [config.seed for config in reported] == [0, 1, 2]
    assert {config.audit.report_on for config in reported} == {"test"}


def test_an_objective_of_an_audit_on_request_asks_for_it(tmp_path: Path) -> None:
    pairs = {"model": {"name": "open_clip:ViT-B-32"}, "method": {"name": "finetune"}, "request": {"kind": "by_class"}}
    space = {"optimizer.lr": {"loguniform": [0.001, 0.1]}}
    sweep = read_sweep(write(tmp_path, objective="image_search_precision", space=space, set=pairs))
    trial = sweep.trial_config({"optimizer.lr": 0.02})
    assert trial.audit.more_audits == ("image_search",)
    assert "image_search" not in (trial.audit.audits or ())


def test_every_reported_request_runs_with_every_seed(tmp_path: Path) -> None:
    requests = [{"kind": "by_random", "count": 5}, {"kind": "by_random", "count": 6, "seed": 77}]
    tuning = {"request": {"kind": "by_random", "count": 5}}
    sweep = read_sweep(
        write(tmp_path, reported={"requests": requests, "seeds": [1, 2]}, tuning=tuning, scheduler="none")
    )
    drawn = [(c.seed, c.request.count, c.request.seed) for c in sweep.reported_configs({})]  # type: ignore[union-attr]
    assert drawn == [(1, 5, 1), (2, 5, 2), (1, 6, 77), (2, 6, 77)]


def test_only_requests_that_draw_take_a_seed() -> None:
    assert seeded({"kind": "by_class", "classes": [1]}, 4) == {"kind": "by_class", "classes": [1]}
    assert seeded({"kind": "by_neighbours", "count": 3}, 4) == {"kind": "by_neighbours", "count": 3, "seed": 4}


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


def test_requests_in_files_hold_in_trials_which_run_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text("1\n")
    request = {"kind": "by_id", "path": "ids.txt"}
    others = [{**request, "path": str(tmp_path / "others.txt")}]
    sweep = read_sweep(write(tmp_path, tuning={"request": request}, reported={"requests": others}, scheduler="none"))
    monkeypatch.chdir("/")
    assert sweep.trial_config(sweep.first).request == ByIds(path=str(tmp_path / "ids.txt"))
    assert sweep.reported_configs(sweep.first)[0].request == ByIds(path=str(tmp_path / "others.txt"))
