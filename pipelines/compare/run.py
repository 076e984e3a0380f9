"""``cu compare``: run every method on every request and seed, within one budget, against the same oracles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cu_core.errors import ConfigError
from pipelines.audits.memorisation import make_scores, plan_scoring
from pipelines.compare.config import Comparison, Sizes
from pipelines.compare.search import Search, SearchTrial, search_all, trial_of
from pipelines.console import console, counted
from pipelines.grid.cells import Cell, Outcome, run_cells
from pipelines.grid.study_file import Settings
from pipelines.run.plan import Plan, make_plan


@dataclass(frozen=True)
class RequestAndSeed:
    """One request with one seed."""

    group: str
    number: int
    """Index of the request in its group."""
    request: Settings
    seed: int
    plan: Plan

    @property
    def label(self) -> str:
        return f"{self.group} {self.number + 1} seed {self.seed}"


@dataclass(frozen=True)
class Result:
    """One finished cell."""

    method: str
    place: RequestAndSeed
    cell: Cell
    outcome: Outcome


@dataclass(frozen=True)
class ComparisonResult:
    """A whole comparison."""

    comparison: Comparison
    searches: dict[str, Search]
    """Searches of the methods that are searched."""
    results: list[Result]

    def chosen(self, method: str) -> dict[str, Any]:
        return self.searches[method].best.settings if method in self.searches else {}


def places(
    comparison: Comparison, group: str, requests: Sequence[Settings], seeds: Sequence[int], *, tuning: bool
) -> list[RequestAndSeed]:
    """Resolve every request with every seed, once for all methods."""
    found = []
    for number, request in enumerate(requests):
        for seed in seeds:
            request_here = dict(request)
            if request.get("kind") == "by_score" and "path" not in request:
                request_here["path"] = str(_scores_file(comparison, seed))
            found.append(
                RequestAndSeed(
                    group,
                    number,
                    request_here,
                    seed,
                    make_plan(comparison.run_config(request_here, seed, tuning=tuning)),
                )
            )
    return found


def _scores_file(comparison: Comparison, seed: int) -> Path:
    """Return the file of memorisation scores of the seed's original."""
    return plan_scoring(comparison.plain_config(seed)).file


def prepare_scores(comparison: Comparison) -> None:
    """Make the memorisation scores for ``by_score`` requests without a path."""
    config = comparison.config
    wanted = [(r, config.seeds) for group in config.requests.values() for r in group]
    if config.tuning:
        wanted += [(r, config.tuning.seeds) for r in config.tuning.requests]
    seeds = {
        s for request, seeds in wanted if request.get("kind") == "by_score" and "path" not in request for s in seeds
    }
    if seeds:
        console.print(f"memorisation scores for seeds {', '.join(map(str, sorted(seeds)))}")
    make_scores([plan_scoring(comparison.plain_config(s)) for s in sorted(seeds)])


def make_cell(comparison: Comparison, method: str, trial: Settings, place: RequestAndSeed, *, tuning: bool) -> Cell:
    shared = place.plan
    forget, total = len(shared.forget.rows), shared.manifest.num_rows("train")
    sizes = Sizes(forget, total - forget, len(shared.forget.classes), shared.manifest.num_classes)
    config = comparison.cell_config(method, trial, place.request, place.seed, tuning=tuning, sizes=sizes)
    here = shared.config
    audit = replace(config.audit, other_data=here.audit.other_data)
    config = replace(config, storage=here.storage, data=here.data, model=here.model, request=here.request, audit=audit)
    return Cell(f"{method} {place.label}", replace(shared, workspace=shared.workspace.with_config(config)))


def search(comparison: Comparison) -> dict[str, Search]:
    """Search the settings of every method."""
    config, tuning = comparison.config, comparison.config.tuning
    spaces = {label: space for label in config.methods if (space := comparison.space(label))}
    if tuning is None or not spaces:
        return {}
    spots = places(comparison, "tuning", tuning.requests, tuning.seeds, tuning=True)
    console.print(
        f"search: {counted(tuning.trials, 'trial')} for each of {counted(len(spaces), 'method')}, on requests and "
        f"seeds that are not reported"
    )

    def evaluate(asked: Sequence[tuple[str, dict[str, Any]]]) -> list[SearchTrial]:
        cells = [make_cell(comparison, label, s, place, tuning=True) for label, s in asked for place in spots]
        outcomes = run_cells(cells)
        return [
            trial_of(settings, outcomes[i * len(spots) : (i + 1) * len(spots)], tuning.objective)
            for i, (_, settings) in enumerate(asked)
        ]

    return search_all(spaces, tuning, evaluate)


def check(comparison: Comparison) -> None:
    """Check everything that needs no trained model, before anything starts.

    Raises: ConfigError, ValueError for a mistake in requests, methods, settings or budget.
    """
    config = comparison.config
    asked = [(request, False) for group in config.requests.values() for request in group]
    asked += [(request, True) for request in (config.tuning.requests if config.tuning else ())]
    kinds, classes, rows = set[str](), {True: set[int](), False: set[int]()}, {True: set[str](), False: set[str]()}
    for request, tuning in asked:
        ready = _without_scores(comparison, request)
        seeds = config.tuning.seeds if config.tuning and tuning else config.seeds
        (place,) = places(comparison, "check", [ready], seeds[:1], tuning=False)
        kinds.add(place.plan.forget.kind)
        classes[tuning] |= {*place.plan.forget.classes}
        rows[tuning].add(place.plan.forget.digest)
        if not place.plan.oracles:
            raise ConfigError("audit.oracles must be at least 1: a comparison is made against the oracle.")
        for label in config.methods:
            _check_settings(comparison, label, place)
    if len(kinds) > 1:
        raise ConfigError("requests: class and sample requests use different presets; compare them in two files.")
    if shared := classes[True] & classes[False]:
        raise ConfigError(
            f"tuning.requests: class {min(shared)} is reported, and would decide the settings; tune on another."
        )
    if rows[True] & rows[False]:
        raise ConfigError("tuning.requests: the rows of one are reported, and would decide the settings.")


def _check_settings(comparison: Comparison, label: str, place: RequestAndSeed) -> None:
    """Raises: ConfigError for settings, or for ends of a range (also of a widened one), that a run refuses."""
    for trial in comparison.ends(label):
        try:
            make_cell(comparison, label, trial, place, tuning=False)
        except ConfigError as error:
            hint = " (an end of a range, or of one that was widened: `within` names natural limits)" if trial else ""
            raise ConfigError(f"{str(error).removesuffix('.')}{hint}.") from error


def _without_scores(comparison: Comparison, request: Settings) -> Settings:
    """Replace a ``by_score`` request by one of the same size that needs no scores, as these may not exist yet."""
    if request.get("kind") != "by_score" or "path" in request:
        return request
    comparison.run_config({"path": "scores.parquet", **request}, 0, tuning=False)  # its own settings are valid
    return {"kind": "by_random", "count": request["count"]}


def run_comparison(comparison: Comparison, finished: Callable[[Cell], None] = lambda cell: None) -> ComparisonResult:
    """Search, then run every cell. Finished cells are reused.

    ``finished`` is called with every reported cell as soon as it is finished.
    """
    prepare_scores(comparison)
    config = comparison.config
    done = ComparisonResult(comparison, search(comparison), [])
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
