"""``cu compare``: every method on every request and seed, within one budget, against the same oracles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cu_core.config_io import ConfigError
from pipelines.cells import Cell, Failure, Outcome, run_cells
from pipelines.compare_config import Comparison, Settings, Sizes
from pipelines.memorisation import make_scores, plan_scoring
from pipelines.plan import Plan, make_plan
from pipelines.progress import console


@dataclass(frozen=True)
class Place:
    """One request under one seed."""

    group: str
    number: int
    """Of the request in its group."""
    request: Settings
    seed: int
    plan: Plan

    @property
    def label(self) -> str:
        return f"{self.group} {self.number + 1} seed {self.seed}"


@dataclass(frozen=True)
class Trial:
    """Settings that were tried in a method's own search."""

    settings: dict[str, Any]
    gap: float
    """Mean over tuning requests and seeds, on the stop set; infinite where a run diverged."""


@dataclass(frozen=True)
class Result:
    """One finished cell."""

    method: str
    place: Place
    cell: Cell
    outcome: Outcome


@dataclass(frozen=True)
class Finished:
    """A whole comparison."""

    comparison: Comparison
    trials: dict[str, list[Trial]]
    """What each method's search tried, best first; empty for methods without one."""
    results: list[Result]

    def chosen(self, method: str) -> dict[str, Any]:
        tried = self.trials.get(method)
        return tried[0].settings if tried else {}


def places(
    comparison: Comparison, group: str, requests: Sequence[Settings], seeds: Sequence[int], *, tuning: bool
) -> list[Place]:
    """Resolve every request under every seed; what all methods share is resolved once."""
    found = []
    for number, request in enumerate(requests):
        for seed in seeds:
            request_here = dict(request)
            if request.get("kind") == "by_score" and "path" not in request:
                request_here["path"] = str(_scores_file(comparison, seed))
            found.append(
                Place(
                    group,
                    number,
                    request_here,
                    seed,
                    make_plan(comparison.run_config(request_here, seed, tuning=tuning)),
                )
            )
    return found


def _scores_file(comparison: Comparison, seed: int) -> Path:
    """Memorisation under the seed's own original."""
    return plan_scoring(comparison.plain_config(seed)).file


def prepare_scores(comparison: Comparison) -> None:
    """Make the memorisation scores that requests without a path of their own need."""
    config = comparison.config
    wanted = [(r, config.seeds) for group in config.requests.values() for r in group]
    wanted += [(r, config.tuning.seeds) for r in (config.tuning.requests if config.tuning else ())]
    seeds = {
        s for request, seeds in wanted if request.get("kind") == "by_score" and "path" not in request for s in seeds
    }
    if seeds:
        console.print(f"memorisation scores for seeds {', '.join(map(str, sorted(seeds)))}")
    make_scores([plan_scoring(comparison.plain_config(s)) for s in sorted(seeds)])


def make_cell(comparison: Comparison, method: str, trial: Settings, place: Place, *, tuning: bool) -> Cell:
    shared = place.plan
    forget, total = len(shared.forget.rows), shared.manifest.num_rows("train")
    sizes = Sizes(forget, total - forget, len(shared.forget.classes), shared.manifest.num_classes)
    config = comparison.cell_config(method, trial, place.request, place.seed, tuning=tuning, sizes=sizes)
    here = shared.config
    config = replace(config, storage=here.storage, data=here.data, model=here.model, request=here.request)
    return Cell(f"{method} {place.label}", replace(shared, config=config))


def search(comparison: Comparison) -> dict[str, list[Trial]]:
    """Each method's own search on tuning requests, seeds and the stop set."""
    config, tuning = comparison.config, comparison.config.tuning
    searching = {label: c.trials for label, c in config.methods.items() if c.search}
    if tuning is None or not searching:
        return {}
    spots = places(comparison, "tuning", tuning.requests, tuning.seeds, tuning=True)
    keyed = [(label, i, place) for label, trials in searching.items() for i in range(len(trials)) for place in spots]
    console.print(
        f"search: {tuning.trials} trials each of {len(searching)} methods, on requests and seeds not reported"
    )
    outcomes = run_cells([make_cell(comparison, m, searching[m][i], place, tuning=True) for m, i, place in keyed])
    gaps: dict[tuple[str, int], list[float]] = {}
    for (label, i, _), outcome in zip(keyed, outcomes, strict=True):
        gaps.setdefault((label, i), []).append(gap_of(outcome))
    tried = {m: [Trial(t, float(np.mean(gaps[m, i]))) for i, t in enumerate(ts)] for m, ts in searching.items()}
    return {label: sorted(trials, key=lambda t: t.gap) for label, trials in tried.items()}


def gap_of(outcome: Outcome) -> float:
    if isinstance(outcome, Failure):
        return float("inf")
    assert outcome.gap is not None  # `check` asks for an oracle
    return outcome.gap.mean


def check(comparison: Comparison) -> None:
    """Resolve all that can be without a trained model, before anything starts.

    Raises: ConfigError, ValueError for any mistake in requests, methods, settings or budget.
    """
    config = comparison.config
    groups = [*config.requests.items(), *([("tuning", config.tuning.requests)] if config.tuning else [])]
    kinds, forgotten = set(), dict[str, list[str]]()
    for group, requests in groups:
        ready = [_without_scores(comparison, request) for request in requests]
        for place in places(comparison, group, ready, config.seeds[:1], tuning=False):
            kinds.add(place.plan.forget.kind)
            forgotten.setdefault(place.plan.forget.digest, []).append(group)
            if not place.plan.oracles:
                raise ConfigError("audit.oracles must be at least 1: a comparison is made against the oracle.")
            for label, competitor in config.methods.items():
                for trial in competitor.trials:
                    make_cell(comparison, label, trial, place, tuning=False)
    if len(kinds) > 1:
        raise ConfigError("requests: classes and samples have other settings; compare them in two files.")
    if "class" in kinds and any("tuning" in same and len(set(same)) > 1 for same in forgotten.values()):
        raise ConfigError("tuning.requests: a class that is reported decides the settings; tune on another.")


def _without_scores(comparison: Comparison, request: Settings) -> Settings:
    """The request, or one of its size that needs no scores: they are made by models that may not be there yet."""
    if request.get("kind") != "by_score" or "path" in request:
        return request
    comparison.run_config({"path": "scores.parquet", **request}, 0, tuning=False)  # its own settings are valid
    return {"kind": "by_random", "count": request["count"]}


def run_comparison(comparison: Comparison, finished: Callable[[Cell], None] = lambda cell: None) -> Finished:
    """Search, then run every cell; what is finished already is found. ``finished`` is called with every reported cell
    as soon as it is there."""
    prepare_scores(comparison)
    config = comparison.config
    done = Finished(comparison, search(comparison), [])
    keyed = [
        (label, place)
        for group, requests in config.requests.items()
        for place in places(comparison, group, requests, config.seeds, tuning=False)
        for label in config.methods
    ]
    cells = [make_cell(comparison, label, done.chosen(label), place, tuning=False) for label, place in keyed]
    outcomes = run_cells(cells, finished)
    results = [Result(m, p, c, o) for (m, p), c, o in zip(keyed, cells, outcomes, strict=True)]
    return replace(done, results=results)
