"""Search of each method: TPE on the tuning requests and the stop set. Ranges are widened if the best is at an edge.

Trials are drawn as a pure function of the results so far, so an interrupted search continues where it stopped.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState, create_trial

from cu_core.audit.report import AuditReport
from pipelines.compare.competitors import SearchConfig
from pipelines.grid.cells import Failure, Outcome
from pipelines.grid.ranges import Space, distribution, edge_of, kind_of, rounded, values_of, widened

STARTUP = 10
"""Number of random trials before TPE is used."""


@dataclass(frozen=True)
class SearchTrial:
    """One trial: its settings and its result."""

    settings: dict[str, Any]
    value: float
    """Objective: mean over tuning requests and seeds, on the stop set. Infinite if a run diverged."""
    rows: float = 0.0
    """Rows forwarded by its runs, without runs that diverged."""
    failed: tuple[str, ...] = ()
    """Reasons of the runs that diverged."""


@dataclass(frozen=True)
class Search:
    """Search of one method, with its trials in order."""

    start: Space
    space: Space
    """Ranges at the end of the search."""
    trials: tuple[SearchTrial, ...] = ()
    widenings: tuple[str, ...] = ()
    """Settings whose range was widened, listed once for each time."""

    @property
    def best(self) -> SearchTrial:
        return min(self.trials, key=lambda t: t.value)

    @property
    def edges(self) -> dict[str, str]:
        """Map settings whose best value is at an edge to the edge."""
        found = {key: edge_of(self.best.settings[key], drawn) for key, drawn in self.space.items()}
        return {key: edge for key, edge in found.items() if edge}


OBJECTIVES: Mapping[str, Callable[[AuditReport], float]] = {
    "gap": lambda report: report.gap.mean if report.gap else math.nan,
}
"""Objectives that a search can minimise."""


def rows_forwarded(report: AuditReport) -> float:
    """Count the rows forwarded through any model, including preparation, without stop checks."""
    return sum(report.cost[f"{part}_rows"] for part in ("forget", "retain", "frozen", "prepare"))


def trial_of(settings: dict[str, Any], outcomes: Sequence[Outcome], objective: str) -> SearchTrial:
    """Make a trial from the outcomes of its runs."""
    reports = [o for o in outcomes if isinstance(o, AuditReport)]
    failed = tuple(o.reason for o in outcomes if isinstance(o, Failure))
    value = math.inf if failed else float(np.mean([OBJECTIVES[objective](r) for r in reports]))
    return SearchTrial(settings, value, sum(rows_forwarded(r) for r in reports), failed)


def draw(space: Space, told: Sequence[SearchTrial], count: int, seed: int) -> list[dict[str, Any]]:
    """Draw the next settings, as a pure function of the arguments. Optuna gets choices as indices."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    drawn_by = {key: distribution(_by_place(drawn)) for key, drawn in space.items()}
    random_state = int(np.random.SeedSequence([seed, len(told)]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # constant_liar
        sampler = optuna.samplers.TPESampler(seed=random_state, n_startup_trials=STARTUP, constant_liar=True)
        study = optuna.create_study(sampler=sampler)
    for trial in told:
        params = {key: _place(value, space[key]) for key, value in trial.settings.items()}
        study.add_trial(
            create_trial(state=TrialState.COMPLETE, value=trial.value, params=params, distributions=drawn_by)
        )
    return [{key: _value(value, space[key]) for key, value in study.ask(drawn_by).params.items()} for _ in range(count)]


def _by_place(drawn: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
    return {"choice": range(len(drawn["choice"]))} if "choice" in drawn else drawn


def _place(value: Any, drawn: Mapping[str, Sequence[Any]]) -> Any:
    return list(drawn["choice"]).index(value) if "choice" in drawn else value


def _value(value: Any, drawn: Mapping[str, Sequence[Any]]) -> Any:
    kind = kind_of(drawn)
    return values_of(drawn)[value] if kind == "choice" else value if kind == "int" else rounded(value, drawn)


@dataclass
class _Running:
    """A search in progress."""

    found: Search
    due: int
    """Number of trials after which its ranges are checked."""
    asked: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, tuning: SearchConfig) -> list[dict[str, Any]]:
        """Return the next batch of settings. Empty at the end of the search."""
        if len(self.found.trials) == self.due and not self._go_on(tuning):
            return []
        count = min(tuning.at_once, self.due - len(self.found.trials))
        self.asked = draw(self.found.space, self.found.trials, count, tuning.seeds[0])
        return self.asked

    def _go_on(self, tuning: SearchConfig) -> bool:
        """Widen the ranges whose best value is at an edge. Return False if there is none or the limit is reached."""
        found, edges = self.found, self.found.edges
        rounds = (self.due - tuning.trials) // tuning.more_trials
        if not edges or rounds >= tuning.widenings or math.isinf(found.best.value):
            return False
        wider = {k: widened(d, edges[k], tuning.widen) if k in edges else d for k, d in found.space.items()}
        self.found = Search(found.start, wider, found.trials, (*found.widenings, *edges))
        self.due += tuning.more_trials
        return True

    def tell(self, trials: Sequence[SearchTrial]) -> None:
        found = self.found
        self.found = Search(found.start, found.space, (*found.trials, *trials), found.widenings)


Evaluate = Callable[[Sequence[tuple[str, dict[str, Any]]]], Sequence[SearchTrial]]
"""Runs settings of several methods and returns their trials in the same order."""


def search_all(spaces: Mapping[str, Space], tuning: SearchConfig, evaluate: Evaluate) -> dict[str, Search]:
    """Run the searches of all methods side by side. They do not depend on one another."""
    running = {label: _Running(Search(space, space), tuning.trials) for label, space in spaces.items()}
    while asked := [(label, settings) for label, state in running.items() for settings in state.ask(tuning)]:
        trials = evaluate(asked)
        for label, state in running.items():
            state.tell([t for (own, _), t in zip(asked, trials, strict=True) if own == label])
    return {label: state.found for label, state in running.items()}
