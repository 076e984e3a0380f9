"""What is asked of Ray Tune, and what is read of its results."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule
from ray.tune.search import BasicVariantGenerator
from ray.tune.search.optuna import OptunaSearch

from cu_core.config_io import config_from
from cu_core.errors import NonFiniteError
from pipelines.sweep import ray_tune
from pipelines.sweep.ray_tune import PruningOptuna, _domain, _scheduler, _searcher, _share, _tried
from pipelines.sweep.space import read_sweep
from tests.unit.pipelines.sweep_files import write


@pytest.mark.parametrize(
    ("workers", "have", "takes", "at_once"),
    [
        ({"cpus": 2}, {"CPU": 7.0, "GPU": 0.0}, {"CPU": 2.0, "GPU": 0.0}, 3),
        ({"cpus": 8}, {"CPU": 4.0, "GPU": 0.0}, {"CPU": 8.0, "GPU": 0.0}, 1),
        ({"gpu": True, "models_per_gpu": 4}, {"CPU": 1.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 0.25}, 8),
        ({"count": 2, "cpus": 2}, {"CPU": 9.0, "GPU": 0.0}, {"CPU": 0.0, "memory": 1.0}, 2),
        ({"count": 4, "gpu": True}, {"CPU": 1.0, "GPU": 8.0}, {"CPU": 0.0, "memory": 1.0}, 2),
    ],
)
def test_as_many_trials_run_as_have_room(
    workers: dict[str, Any], have: dict[str, float], takes: dict[str, float], at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(ray_tune, "resources", lambda: have)
    assert _share(config_from({"workers": workers})) == (takes, at_once)


def test_ranges_are_those_of_ray_tune() -> None:
    whole = _domain({"int": [1, 3]}, False)
    assert {whole.sample() for _ in range(200)} == {1, 2, 3}  # with the last
    log, plain = _domain({"loguniform": [0.1, 1.0]}, False), _domain({"uniform": [0.1, 1.0]}, False)
    assert (log.lower, log.upper, plain.lower, plain.upper) == (0.1, 1.0, 0.1, 1.0)
    assert type(log.sampler) is not type(plain.sampler)
    assert _domain({"choice": ("a", "b")}, False).categories == ["a", "b"]
    assert _domain({"choice": ("a", "b")}, True) == {"grid_search": ["a", "b"]}


def test_the_scheduler_compares_checks_at_the_same_share_of_steps() -> None:
    asha, median = _scheduler("asha"), _scheduler("median")
    assert isinstance(asha, AsyncHyperBandScheduler)
    assert isinstance(median, MedianStoppingRule)
    assert type(_scheduler("none")) is FIFOScheduler
    for scheduler in (asha, median):
        assert (scheduler.metric, scheduler._time_attr) == ("early", "share")
    assert median._min_time_slice == float("inf")


def test_only_tpe_learns_and_of_pareto_it_learns_all_three(tmp_path: Any) -> None:
    tpe = _searcher(read_sweep(write(tmp_path)), 2)
    assert isinstance(tpe, PruningOptuna)
    assert (tpe.metric, tpe.mode) == ("objective", "min")
    pareto = _searcher(read_sweep(write(tmp_path, objective="pareto", scheduler="none")), 2)
    assert (pareto.metric, pareto.mode) == (["forgetting", "utility", "cost"], ["min"] * 3)
    drawn = _searcher(read_sweep(write(tmp_path, algorithm="random")), 2)
    assert isinstance(drawn, BasicVariantGenerator)
    assert drawn.max_concurrent == 2


def test_a_trial_that_was_ended_early_is_pruned_not_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, Any]] = []
    monkeypatch.setattr(OptunaSearch, "on_trial_result", lambda self, name, result: told.append(("look", result)))
    monkeypatch.setattr(
        OptunaSearch, "on_trial_complete", lambda self, name, result=None, error=False: told.append(("end", result))
    )
    searcher = PruningOptuna(metric="objective", mode="min", seed=0)
    early, whole = {"objective": 3.0}, {"objective": 1.0, "finished": 1.0}
    searcher.on_trial_result("a", {"step": 3})  # of a checkpoint
    searcher.on_trial_complete("a", early)
    assert told == [("look", early), ("end", None)]
    told.clear()
    searcher.on_trial_complete("b", whole)
    searcher.on_trial_complete("c", None, True)
    assert told == [("end", whole), ("end", None)]


def ended(metrics: dict[str, Any], error: Exception | None = None, frame: pd.DataFrame | None = None) -> Any:
    return SimpleNamespace(metrics=metrics, metrics_dataframe=frame, error=error, config={"seed": 1})


def test_a_finished_trial_has_its_figures_and_checks() -> None:
    metrics = {"finished": 1.0, "objective": 2, "gap": 2.0, "proxy mia": 3.0, "mia_auc": 51.0, "share": 100,
               "timestamp": 110.0, "time_total_s": 10.0, "training_iteration": 3}  # fmt: skip
    frame = pd.DataFrame({"share": [25, 50, 100], "early": [9.0, None, 5.0]})
    found = _tried(4, ended(metrics, frame=frame))
    assert found.found == {"objective": 2.0, "gap": 2.0, "proxy mia": 3.0, "mia_auc": 51.0}
    assert (found.number, found.state, found.reason, found.drawn) == (4, "finished", "", {"seed": 1})
    assert (found.looks, found.times) == ([(25.0, 9.0), (100.0, 5.0)], (100.0, 110.0))


def test_other_trials_have_a_reason_and_no_figures() -> None:
    early = _tried(0, ended({"share": 50, "objective": 9.0, "done": True}))
    assert (early.state, early.reason, early.found) == ("stopped", "at 50% of its steps", {})
    failed = _tried(0, ended({"objective": 9.0}, NonFiniteError("step 3: loss is nan")))
    assert (failed.state, failed.reason, failed.found) == ("failed", "step 3: loss is nan", {})
    assert _tried(0, ended({}, RuntimeError("first\nlast line"))).reason == "last line"
    assert _tried(0, ended({}, RuntimeError())).reason == "RuntimeError()"
