"""The file of a sweep, checked, and the configuration of every trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cu_core.audit.report import GIVEN
from cu_core.audit.table import AUDITS, METRICS
from cu_core.config import RunConfig
from cu_core.config_io import config_from, one_line
from cu_core.errors import ConfigError
from cu_core.methods.contrastive import Contrastive
from cu_core.models.build import reads_captions
from cu_core.storage import named_file, shown
from cu_core.yaml_io import merge
from pipelines.grid.ranges import Space
from pipelines.grid.study_file import DRAWN, Settings, read_base, read_values, with_settings
from pipelines.sweep.config import SweepConfig

CHECKED = ("accuracy", "membership", "rebound")
"""Audits of every trial, in addition to that of the objective."""
RATIO = ("method.lambda_ul", "method.temperature")


@dataclass(frozen=True)
class Sweep:
    """A sweep file that was read. ``space`` holds the ranges that trials are drawn from."""

    config: SweepConfig
    base: dict[str, Any]
    space: Space
    calibrate: bool = False
    """Whether the proxy is compared with the oracle."""

    @property
    def first(self) -> dict[str, Any]:
        """One value of every searched setting."""
        return {key: next(iter(drawn.values()))[0] for key, drawn in self.space.items()}

    def trial_config(self, drawn: Settings) -> RunConfig:
        """Return the configuration of a trial. It has no oracles if only the proxy is needed."""
        tuning = self.config.tuning
        pairs = reads_captions(str(self.base.get("model", {}).get("name", "")))
        asked = {METRICS[self.config.objective].audit} if self.config.objective in METRICS else set()
        more = {name for name in asked if AUDITS[name].on_request}
        audits = {*CHECKED, *(["retrieval"] if pairs else []), *(asked - more)}
        audit: dict[str, Any] = {"audits": sorted(audits), "more_audits": sorted(more)}
        if self.config.objective == "proxy" and not self.calibrate:
            audit["oracles"] = 0
        values = merge(self.base, {"seed": tuning.seed, "audit": audit})
        request = {"request": seeded(tuning.request, tuning.seed)}
        return config_from(with_settings(values | request, drawn), {"audit": {"report_on": "stop"}})

    def reported_configs(self, drawn: Settings) -> list[RunConfig]:
        """Return configurations with these settings for the reported seeds and requests."""
        asked = self.config.reported.requests or [self.base.get("request", {})]
        return [
            config_from(with_settings(merge(self.base, {"seed": seed}) | {"request": seeded(request, seed)}, drawn))
            for request in asked
            for seed in self.config.reported.seeds
        ]


def seeded(request: Settings, seed: int) -> dict[str, Any]:
    return {**({"seed": seed} if request.get("kind") in DRAWN else {}), **request}


def _named(request: Settings) -> Settings:
    """Return the request with an absolute path, because trials run in other folders."""
    return {**request, "path": shown(named_file(str(request["path"])))} if "path" in request else request


def read_sweep(path: Path, overrides: Sequence[str] = (), calibrate: bool = False) -> Sweep:
    """Read and check the file, with both ends of every range. ``calibrate``: see ``Sweep``.

    Raises: ConfigError.
    """
    values = read_values(path, overrides, SweepConfig, "sweep", "sweeps")
    try:
        config = TypeAdapter(SweepConfig).validate_python(values)
    except ValidationError as error:
        raise ConfigError(one_line(error)) from error
    base = read_base(path, config.base, config.set)
    if isinstance(base.get("request"), dict):
        base = {**base, "request": _named(base["request"])}
    requests = [_named(request) for request in config.reported.requests]
    tuning = replace(config.tuning, request=_named(config.tuning.request))
    config = replace(config, tuning=tuning, reported=replace(config.reported, requests=requests))
    if calibrate:  # all trials are needed, also bad ones
        config = replace(config, scheduler="none")
    sweep = Sweep(config, base, config.space, calibrate)
    _check_settings(sweep)
    return replace(sweep, space=_by_ratio(sweep))


def _check_settings(sweep: Sweep) -> None:
    """Raises: ConfigError for a key or an end of a range that a run refuses."""
    config, first = sweep.config, sweep.first
    for key, drawn in config.space.items():
        for value in next(iter(drawn.values())):
            try:
                trial = sweep.trial_config({**first, key: value})
            except ConfigError as error:
                told = str(error)  # about this key, or about another key with its first value
                own = any(told.startswith(f"{other}:") for other in config.space)
                raise ConfigError(f"space.{told}" if own else f"space.{key}: {told}") from error
    tuned = seeded(config.tuning.request, config.tuning.seed)
    for request in config.reported.requests or [sweep.base.get("request", {})]:
        if tuned in [seeded(request, seed) for seed in config.reported.seeds]:
            raise ConfigError(
                "tuning.request: what decides must not be reported; name another class (or seed), or other "
                "reported.requests."
            )
    oracle = config.objective == "gap" or config.objective in METRICS
    if oracle and not trial.audit.oracles:
        raise ConfigError(f"objective: {config.objective} needs an oracle; set audit.oracles, or objective=proxy.")
    if config.objective in METRICS:
        _check_metric(config.objective, trial)
    if sweep.calibrate and (config.objective != "proxy" or not trial.audit.oracles):
        raise ConfigError("--calibrate: holds the proxy against oracles; it needs objective=proxy and audit.oracles.")
    if config.scheduler != "none" and trial.stop.rule == "none":
        raise ConfigError("scheduler: with stop.rule=none trials do not look at the stop set; set scheduler=none.")
    reported = sweep.reported_configs(first)[0].audit
    if not reported.oracles and not {*CHECKED} <= {*(reported.audits or CHECKED)}:
        raise ConfigError(f"audit.audits: without oracles the winner is judged by {', '.join(CHECKED)}; name them.")


def _check_metric(name: str, trial: RunConfig) -> None:
    """Raises: ConfigError for a metric that does not exist for these trials."""
    metric = METRICS[name]
    lacks = (
        f"is for {metric.kinds[0]} requests" if trial.asked not in metric.kinds
        else "is for image-text models" if AUDITS[metric.audit].pairs_only and not trial.model.reads_captions
        else "is for train.objective=supcon, simclr and moco"
        if AUDITS[metric.audit].encoders_only and trial.train.objective == "cross_entropy"
        else "is for classifiers" if AUDITS[metric.audit].classifiers_only and trial.model.reads_captions
        else "compares with two oracles or more" if metric.side == "distance" and trial.audit.oracles < 2
        else f"needs audit.{GIVEN[name]}" if name in GIVEN and not getattr(trial.audit, GIVEN[name])
        else None
    )  # fmt: skip
    if lacks:
        raise ConfigError(f"objective: {name} {lacks}.")


def _by_ratio(sweep: Sweep) -> Space:
    """Return the space without the temperature, if only the ratio lambda_ul / temperature matters.

    Raises: ConfigError if both are searched without ``reparametrise``, or if it is set without need.
    """
    config, first = sweep.config, sweep.first
    trial = sweep.trial_config(first)
    method = trial.method
    linear = isinstance(method, Contrastive) and method.pull_form == "linear" and "method.pull_form" not in config.space
    both = linear and trial.asked == "class" and set(RATIO) <= set(config.space)
    if both and not config.reparametrise:
        raise ConfigError(
            "space: for a class request lambda_ul and temperature act only by their ratio (equation 6 is linear in "
            "1 / temperature): search one of them, or set reparametrise=true to search the ratio."
        )
    if not both and config.reparametrise:
        raise ConfigError("reparametrise: is for class requests whose space holds lambda_ul and temperature.")
    if not both:
        return config.space
    if config.algorithm == "grid":
        raise ConfigError("reparametrise: a ratio is drawn from a range; grid runs choices.")
    plain = sweep.trial_config({k: v for k, v in first.items() if k != "method.temperature"}).method
    assert isinstance(plain, Contrastive)
    ends = {key: sorted(next(iter(config.space[key].values()))) for key in RATIO}
    weight, tau = ends["method.lambda_ul"], ends["method.temperature"]
    if weight[0] <= 0:
        raise ConfigError("reparametrise: the range of lambda_ul must lie above 0.")
    ratio = {"loguniform": [plain.temperature * weight[0] / tau[-1], plain.temperature * weight[-1] / tau[0]]}
    kept = {key: drawn for key, drawn in config.space.items() if key not in RATIO}
    return {**kept, "method.lambda_ul": ratio}
