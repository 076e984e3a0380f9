"""Ray Tune: trials are drawn, scheduled, run and resumed."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler
from ray.tune.search import BasicVariantGenerator, Searcher
from ray.tune.search.optuna import OptunaSearch

from cu_core.audit.table import METRICS
from cu_core.config import RunConfig
from cu_core.storage import names, remove, shown
from pipelines.cluster.session import resources
from pipelines.errors import explain, root_cause
from pipelines.run.ray_train import own_interrupt
from pipelines.run.task_options import gpu_share
from pipelines.sweep.objective import ALL, objectives
from pipelines.sweep.space import Sweep
from pipelines.sweep.trial import run_trial

FIRST_LOOK = 25
"""Percent of a trial's steps after which a scheduler may end it."""
SNAPSHOT_SECONDS = "2"
FIGURES = ("objective", "gap", "forgetting", "utility", "cost")


class PruningOptuna(OptunaSearch):
    """Optuna searcher that reports trials that were ended early as pruned.

    Otherwise, the last check on the stop set would be taken for the result of such a trial.
    """

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result and not result.get("finished"):
            self.on_trial_result(trial_id, result)  # the check that ended it
        super().on_trial_complete(trial_id, result if result and result.get("finished") else None, error)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if "objective" in result and not isinstance(self.metric, list):  # not for a checkpoint of a Train run
            super().on_trial_result(trial_id, result)


def _domain(drawn: Mapping[str, Any], grid: bool) -> Any:
    kind, values = next(iter(drawn.items()))
    if kind == "choice":
        return tune.grid_search(list(values)) if grid else tune.choice(list(values))
    if kind == "int":
        return tune.randint(values[0], values[1] + 1)
    return tune.loguniform(*values) if kind == "loguniform" else tune.uniform(*values)


def _searcher(sweep: Sweep, at_once: int) -> Searcher | BasicVariantGenerator:
    config = sweep.config
    if config.algorithm != "tpe":
        return BasicVariantGenerator(random_state=config.tuning.seed, max_concurrent=at_once)
    names = objectives(config.objective)
    single = len(names) == 1
    metric, mode = (names[0], "min") if single else (names, ["min"] * len(names))
    return PruningOptuna(metric=metric, mode=mode, seed=config.tuning.seed)


def _scheduler(name: str) -> TrialScheduler:
    shared = {"time_attr": "share", "metric": "early", "mode": "min"}
    if name == "asha":
        return AsyncHyperBandScheduler(**shared, max_t=ALL, grace_period=FIRST_LOOK, reduction_factor=2)
    if name == "median":
        # It must not pause trials, because they have no checkpoint to continue from.
        endless = float("inf")
        return MedianStoppingRule(**shared, grace_period=FIRST_LOOK, min_samples_required=3, min_time_slice=endless)
    return FIFOScheduler()


@dataclass(frozen=True)
class TrialResult:
    """A trial that has ended."""

    number: int
    drawn: dict[str, Any]
    state: str
    """``finished``, ``stopped`` (early) or ``failed``."""
    found: dict[str, float]
    reason: str
    looks: list[tuple[float, float]]
    """Percentage of the steps and figure of each check on the stop set."""
    times: tuple[float, float]
    """Begin and end, seconds since 1970."""


def run_trials(sweep: Sweep, folder: Path, callback: tune.Callback) -> list[TrialResult]:
    """Run all trials, or those that are missing in ``folder``."""
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = SNAPSHOT_SECONDS
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"  # the checkpoint of a Train run has no metric
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the board shows the table
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", message="The reported value is ignored")  # a resumed trial reports a check again
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the trials report their failures
    takes, at_once = _share(sweep.trial_config(sweep.first))
    trainable = tune.with_resources(tune.with_parameters(run_trial, sweep=sweep), takes)
    if any(name.startswith("experiment_state-") for name in names(folder / "tune")):
        tuner = tune.Tuner.restore(shown(folder / "tune"), trainable, resume_unfinished=True, restart_errored=False)
    else:
        remove(folder / "tune")  # killed before its first snapshot
        grid = sweep.config.algorithm == "grid"
        tuner = tune.Tuner(
            trainable,
            param_space={key: _domain(drawn, grid) for key, drawn in sweep.space.items()},
            tune_config=tune.TuneConfig(
                search_alg=_searcher(sweep, at_once),
                scheduler=_scheduler(sweep.config.scheduler),
                num_samples=1 if grid else sweep.config.count,
                max_concurrent_trials=at_once,
            ),
            run_config=tune.RunConfig(name="tune", storage_path=shown(folder), verbose=0, callbacks=[callback]),
        )
    with own_interrupt():
        return [_tried(number, result) for number, result in enumerate(tuner.fit())]


def _share(config: RunConfig) -> tuple[dict[str, float], int]:
    """Return the resources of a trial, and the number of trials side by side."""
    workers, have = config.workers, resources()
    if workers.count == 1:
        takes = {"CPU": float(workers.cpus), "GPU": gpu_share(config) if workers.gpu else 0.0}
        places = have["GPU"] * workers.models_per_gpu if workers.gpu else have["CPU"] / workers.cpus
        return takes, max(1, int(places))
    # A trial of several workers is a driver. The workers of its Train run need the resources, so it must hold none.
    places = have["GPU"] if workers.gpu else have["CPU"] / workers.cpus
    return {"CPU": 0.0, "memory": 1.0}, max(1, int(places // workers.count))


def _tried(number: int, result: tune.Result) -> TrialResult:
    metrics = result.metrics or {}
    frame = result.metrics_dataframe
    looks = [] if frame is None or "early" not in frame else frame[["share", "early"]].dropna().to_numpy().tolist()
    done = bool(metrics.get("finished"))
    state = "finished" if done else "failed" if result.error else "stopped"
    reason = (
        "" if done else _reason(result.error) if result.error else f"at {metrics.get('share', 0):.0f}% of its steps"
    )
    end = metrics.get("timestamp", math.nan)
    times = end - metrics.get("time_total_s", math.nan), end
    found = {
        k: float(v) for k, v in metrics.items() if done and (k in FIGURES or k in METRICS or k.startswith("proxy"))
    }
    return TrialResult(number, dict(result.config or {}), state, found, reason, [(s, e) for s, e in looks], times)


def _reason(error: Exception) -> str:
    cause = root_cause(error)
    return explain(error) or (str(cause).strip() or repr(cause)).splitlines()[-1][:300]
