"""Entries of a comparison (a method, its settings, its search ranges) and the settings of the searches."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cu_core.bounds import Budget, Positive, Seed, Times, Trials, Widenings
from cu_core.errors import UserError
from cu_core.methods.table import METHODS
from cu_core.types import Word
from pipelines.grid.ranges import Space, check_range, values_of
from pipelines.grid.study_file import OWN, Settings

STEPS_FRAC = "steps_frac"
"""Setting of searches: the fraction, in (0, 1], of the steps that the budget allows."""
CONTROLS = ("doing nothing", "oracle")
MOST_OWN = 4


def check_label(place: str, label: str) -> None:
    """Raises: UserError for a label that cannot be part of a metric's name in MLflow."""
    if not re.fullmatch(r"[\w .-]+", label):
        raise UserError(f"{place}: a label is made of letters, digits, spaces, dots, - and _")


@dataclass(frozen=True, kw_only=True)
class Competitor:
    """A method of the comparison. Its label is the name of the method, or any name if ``set.method.name`` is given."""

    set: Settings = field(default_factory=dict)
    """Settings of the entry. They replace those of ``base`` and ``set``."""
    search: Space = field(default_factory=dict)
    """Settings of the method that are searched, at most four, in the notation of a sweep. ``within`` sets the natural
    limits of a range: ``{uniform: [0.2, 1.0], within: [0.01, 1.0]}``."""
    published: bool = False
    """Whether these are the settings of the method's paper. Such an entry is not searched, keeps its own stop rule, and
    has a table of its own."""
    budget_rows: Budget | None = None
    """Budget of an entry with ``published``: the rows of its paper. ``null``: the budget of the comparison."""
    expect: Sequence[Word] = ()
    """Verdicts that the entry must get, if they are known. The table shows the actual verdicts."""

    def check(self, label: str) -> None:
        """Raises: UserError for a label that names no method, or for settings that do not belong to a method."""
        check_label(f"methods.{label}", label)
        method = self.set.get("method", {})
        if label in CONTROLS:
            raise UserError(f"methods.{label}: the name of a control; give the entry another label")
        if not isinstance(method, Mapping):
            raise UserError(
                f"methods.{label}.set.method: must hold keys and values, e.g. {{name: scrub}}, got {method!r}"
            )
        self._check_name(label, method.get("name"))
        for key in [*self.set, *self.search]:
            if key.split(".")[0] not in OWN and not (key == STEPS_FRAC and key in self.search):
                part = "set" if key in self.set else "search"
                raise UserError(
                    f"methods.{label}.{part}.{key}: a method may set {', '.join(OWN)} only; what all cells share is "
                    f"changed in the part set"
                )
        stop = self.set.get("stop", {})
        if isinstance(stop, Mapping) and "max_steps" in stop:
            raise UserError(f"methods.{label}: stop.max_steps follows from budget_rows")
        self._check_search(label)
        if self.published and (self.search or self.expect):
            raise UserError(f"methods.{label}: a published entry takes no search and no expect")
        if self.budget_rows is not None and (not self.published or self.budget_rows < 1):
            raise UserError(f"methods.{label}.budget_rows: only published settings have rows of their own, at least 1")

    def _check_name(self, label: str, name: str | None) -> None:
        if label in METHODS and name not in (None, label):
            raise UserError(f"methods.{label}: set.method.name is {name}; give the entry a label of its own")
        if label not in METHODS and name is None and "preset" not in self.set:
            near = difflib.get_close_matches(label, METHODS, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(
                f"methods.{label}: no method of that name; {hint}`cu methods` lists them; another label needs "
                f"set.method.name or set.preset"
            )

    def _check_search(self, label: str) -> None:
        if len(self.search) > MOST_OWN:
            raise UserError(f"methods.{label}.search: at most {MOST_OWN} settings, got {len(self.search)}")
        for key, drawn in self.search.items():
            if key.split(".")[0] == "stop":
                raise UserError(
                    f"methods.{label}.search.{key}: when to stop is the same choice for all methods; put it into "
                    f"tuning.search (stop.max_steps follows from budget_rows)"
                )
            check_range(f"methods.{label}.search.{key}", drawn, limits=True)

    def method(self, label: str) -> str:
        """Return the name of the entry's method."""
        name = self.set.get("method", {}).get("name")
        return str(name or (label if label in METHODS else "contrastive"))


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The search of every method. Its seeds and requests are not reported."""

    trials: Trials
    """Number of trials per method, before ranges are widened."""
    seeds: Sequence[Seed] = (9,)
    """Seeds on which the trials are judged."""
    requests: Sequence[Settings]
    """Requests on which the trials are judged."""
    search: Space = field(default_factory=dict)
    """Settings that are searched for all methods: ``steps_frac`` and the stop rule, e.g.
    ``stop: {choice: [{rule: none}, {rule: paper, further_steps: 30}]}``. Methods without steps do not have them."""
    objective: Literal["gap"] = "gap"
    """Figure that is minimised on the stop set, as the mean over these requests and seeds: ``gap``, the mean distance
    to the oracle."""
    at_once: Times = 4
    """Number of trials of a method that are drawn at once, before their results are known (constant liar)."""
    widen: Positive = 1.5
    """Factor by which a range becomes wider, if the best value is at one of its edges. Only this side is moved."""
    more_trials: Trials = 8
    """Number of additional trials after ranges were widened."""
    widenings: Widenings = 3
    """Largest number of times that ranges are widened."""

    def __post_init__(self) -> None:
        if self.trials < 1 or not self.seeds or not self.requests:
            raise UserError("tuning needs at least one trial, one seed and one request")
        if len({*self.seeds}) < len(self.seeds) or repeated(self.requests):
            raise UserError("tuning: seeds, and requests, must differ from one another")
        if min(self.at_once, self.more_trials) < 1 or self.widenings < 0 or self.widen <= 1:
            raise UserError("tuning: at_once and more_trials at least 1, widenings not negative, widen more than 1")
        for key, drawn in self.search.items():
            if key.split(".")[0] != "stop" and key != STEPS_FRAC:
                raise UserError(f"tuning.search.{key}: what all share is {STEPS_FRAC} and when to stop (stop)")
            if key == "stop.max_steps":
                raise UserError("tuning.search.stop.max_steps: follows from budget_rows")
            check_range(f"tuning.search.{key}", drawn, limits=True)
            numbers = [v for v in values_of(drawn) if isinstance(v, int | float) and not isinstance(v, bool)]
            if key == STEPS_FRAC and len(numbers) < len(values_of(drawn)):
                raise UserError(f"tuning.search.{key}: must be numbers in (0, 1], got {list(values_of(drawn))}")


def repeated(requests: Sequence[Settings]) -> bool:
    """Return whether a request is listed twice."""
    return any(request in requests[:number] for number, request in enumerate(requests))
