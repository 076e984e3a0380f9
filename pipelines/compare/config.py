"""The file of a comparison, and the run configuration of every cell."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cu_core.audit.table import METRICS
from cu_core.bounds import Budget, Seed
from cu_core.config import RunConfig
from cu_core.config_io import config_from, one_line
from cu_core.errors import ConfigError, UserError
from cu_core.methods.table import METHODS
from cu_core.unlearn.stopping import StopConfig
from cu_core.validation import check_keys
from cu_core.yaml_io import merge
from pipelines.compare.competitors import STEPS_FRAC, Competitor, SearchConfig, check_label, repeated
from pipelines.grid.ranges import Space, values_of, widened
from pipelines.grid.study_file import DRAWN, OWN, Settings, read_base, read_values, with_settings

GAP_AUDITS = {metric.audit for metric in METRICS.values() if metric.in_gap}


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """A comparison of methods."""

    __pydantic_config__ = {"extra": "forbid"}

    base: str
    """Run configuration, relative to this file."""
    set: Settings = field(default_factory=dict)
    """Changes to ``base`` for every cell."""
    requests: Mapping[str, Sequence[Settings]]
    """Named groups of forget requests; each group is a table."""
    seeds: Sequence[Seed] = (0, 1, 2)
    """Reported seeds. Every method runs on every request with each seed."""
    budget_rows: Budget
    """Largest number of rows that a run may forward through any model, preparation included. Stop checks are counted
    separately."""
    methods: Mapping[str, Competitor]
    """Entries of the comparison, by label."""
    tuning: SearchConfig | None = None
    """Search of every method. ``null``: no search."""

    def __post_init__(self) -> None:
        if not self.requests or not all(self.requests.values()) or not self.methods or self.budget_rows < 1:
            raise UserError("requests, every group of them and methods must not be empty, budget_rows at least 1")
        for group, requests in self.requests.items():
            check_label(f"requests.{group}", group)
            if repeated(requests):
                raise UserError(f"requests.{group}: a request stands twice")
        if no_effect := sorted({"name", "request", "seed"} & {*self.set}):
            raise UserError(f"set.{no_effect[0]}: has no effect; requests and seeds of this file decide")
        audit = self.set.get("audit", {})
        if isinstance(audit, Mapping) and "forget_rows" in audit:
            raise UserError("set.audit.forget_rows: has no effect; a comparison decides on which rows it reports")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"seeds must be different numbers, at least one, got {list(self.seeds)}")
        for label, competitor in self.methods.items():
            competitor.check(label)
            if self.tuning is None and competitor.search:
                raise UserError(f"methods.{label}.search needs a part tuning (seeds, requests, trials)")
            if self.tuning is not None and not competitor.published:
                _check_alike(label, competitor, self.tuning)
        shared = set(self.seeds) & set(self.tuning.seeds if self.tuning else ())
        if shared:
            raise UserError(f"tuning.seeds: {sorted(shared)} are reported seeds too; tune on others")


def _check_alike(label: str, competitor: Competitor, tuning: SearchConfig) -> None:
    """Raises: UserError for an entry that is not searched and stopped in the same way as the others."""
    if "stop" in competitor.set:
        raise UserError(
            f"methods.{label}.set.stop: all methods stop alike; use set.stop or tuning.search, or published: true"
        )
    if not competitor.search and not METHODS[competitor.method(label)].control:
        raise UserError(
            f"methods.{label}: every method is searched where there is a part tuning; give it a search, or set "
            f"published: true"
        )
    both = {*competitor.search} & {*tuning.search}
    if both:
        raise UserError(f"methods.{label}.search: {sorted(both)} are in tuning.search, which is the same for all")


@dataclass(frozen=True)
class Sizes:
    """Sizes that set the cost of a cell: forget rows, retain rows, forgotten classes, all classes."""

    forget: int
    retain: int
    forget_classes: int
    classes: int


@dataclass(frozen=True)
class Comparison:
    """A comparison file that was read."""

    config: CompareConfig
    base: dict[str, Any]
    """Plain mapping of the run configuration that all cells share."""

    def run_config(self, request: Settings, seed: int, *, tuning: bool) -> RunConfig:
        """Return the configuration that the cells of a request and seed share. A drawn request gets the cell's seed."""
        return config_from(self._shared(request, seed, tuning), _reported_rows(tuning))

    def plain_config(self, seed: int) -> RunConfig:
        """Return a configuration for the original alone. It does not depend on the method and the request."""
        parts = {k: v for k, v in self.base.items() if k not in (*OWN, "request", "name")}
        return config_from({**parts, "seed": seed, "request": {"kind": "by_random", "count": 1}})

    def _shared(self, request: Settings, seed: int, tuning: bool) -> dict[str, Any]:
        drawn = {"seed": seed} if request.get("kind") in DRAWN else {}
        audit: dict[str, Any] = {"forget_rows": "half"}
        if tuning:  # the search only uses the gap
            asked = self.base.get("audit", {}).get("audits")
            audit["audits"] = sorted(GAP_AUDITS if asked is None else GAP_AUDITS & set(asked))
            audit["more_audits"] = []
        values = merge(self.base, {"seed": seed, "audit": audit})
        return {**values, "request": {**drawn, **request}}

    def space(self, label: str) -> Space:
        """Return the search space of a method: its own settings and the shared ones. Empty without a search."""
        competitor, tuning = self.config.methods[label], self.config.tuning
        if tuning is None or not competitor.search:
            return {}
        shared = {} if METHODS[competitor.method(label)].closed_form else tuning.search
        return {**competitor.search, **shared}

    def ends(self, label: str) -> list[dict[str, Any]]:
        """Return test settings for the search space.

        One setting at a time takes every choice, or both ends of its range and of the widest range it may become.
        """
        space, tuning = self.space(label), self.config.tuning
        if tuning is None:
            return [{}]
        first = {key: values_of(drawn)[0] for key, drawn in space.items()}
        found = [first]
        for key, drawn in space.items():
            values = list(values_of(drawn))
            for edge in ("low", "high") if "choice" not in drawn else ():
                widest = drawn
                for _ in range(tuning.widenings):
                    widest = widened(widest, edge, tuning.widen)
                values += values_of(widest)
            found += [{**first, key: value} for value in values]
        return found

    def uncut(self, label: str, trial: Settings, request: Settings, seed: int, *, tuning: bool) -> RunConfig:
        """Return the configuration of a cell before its steps are limited by the budget.

        Raises: ConfigError for settings that do not fit together.
        """
        competitor = self.config.methods[label]
        values = self._shared(request, seed, tuning)
        if label in METHODS:
            values = merge(values, {"method": {"name": label}})
        if self.config.tuning is not None and not competitor.published:
            values = merge({"stop": asdict(StopConfig())}, values)  # a preset's own stop rule would favour its method
        values = merge(values, competitor.set)
        drawn = {k: v for k, v in trial.items() if k != STEPS_FRAC}
        return config_from(with_settings(values, drawn), _reported_rows(tuning))

    def cell_config(
        self, label: str, trial: Settings, request: Settings, seed: int, *, tuning: bool, sizes: Sizes
    ) -> RunConfig:
        """Return the configuration of a cell, its steps limited by the budget for sets of these sizes.

        Raises: ConfigError for settings that do not fit together, or if the budget allows no step.
        """
        budget = self.config.methods[label].budget_rows or self.config.budget_rows
        try:
            config = self.uncut(label, trial, request, seed, tuning=tuning)
            return within_budget(config, budget, label, sizes, trial.get(STEPS_FRAC, 1.0))
        except ConfigError as error:
            text = str(error)
            raise ConfigError(text if text.startswith("methods.") else f"methods.{label}: {text}") from error


def _reported_rows(tuning: bool) -> dict[str, Any]:
    return {"audit": {"report_on": "stop" if tuning else "test"}}


def within_budget(config: RunConfig, budget: int, label: str, sizes: Sizes, steps_frac: float = 1.0) -> RunConfig:
    """Set the steps to ``steps_frac`` of those that the budget allows, and scale the step counts of the stop rule.

    Raises: ConfigError if the budget allows no step, or if ``steps_frac`` is not in (0, 1].
    """
    if not 0 < steps_frac <= 1:
        raise ConfigError(f"{STEPS_FRAC}: a share of the budget lies in (0, 1], got {steps_frac}.")
    method, batches, stop = config.method, config.batches_for(sizes.classes), config.stop
    ready = method.rows_to_prepare(sizes.forget, sizes.retain, sizes.forget_classes)
    forget = min(batches.forget_batch, sizes.forget)
    each = method.rows_per_step(forget, batches.retain_batch + batches.added(sizes.classes, forget))
    steps = 1 if method.closed_form else int((budget - ready) // each)
    if ready > budget or steps < 1:
        raise ConfigError(
            f"methods.{label}: budget_rows={budget} buys no step (the method forwards {ready} rows to prepare and "
            f"{each:.0f} a step)."
        )
    steps = max(1, int(steps * steps_frac))
    factor = steps / stop.max_steps
    check_every, further = max(1, round(stop.check_every * factor)), round(stop.further_steps * factor)
    return replace(config, stop=replace(stop, max_steps=steps, check_every=check_every, further_steps=further))


def _check_ranges(path: str, search: Any) -> None:
    """Raises: ConfigError for lists of values, the former notation of searches."""
    for key, drawn in search.items() if isinstance(search, Mapping) else ():
        if not isinstance(drawn, Mapping):
            raise ConfigError(
                f"{path}.search.{key}: must name a range, e.g. {{loguniform: [0.001, 0.1]}} or {{choice: [...]}}, "
                f"got {drawn!r}."
            )


def read_comparison(path: Path, overrides: Sequence[str] = (), only: Sequence[str] | None = None) -> Comparison:
    """Read and check the file.

    ``overrides`` are dotted settings of the file, e.g. ``seeds=[0]`` or ``set.storage=other``. ``only`` names the
    methods that take part; ``None``: all.

    Raises: ConfigError.
    """
    values = read_values(path, overrides, CompareConfig, "comparison", "compare")
    methods = values.get("methods", {})
    if not isinstance(methods, Mapping) or not methods:
        raise ConfigError(f"methods: must name at least one method with its settings, got {methods!r}.")
    for label, entry in methods.items():
        if not isinstance(entry, Mapping):
            raise ConfigError(f"methods.{label}: must hold keys and values ({{}} for none), got {entry!r}.")
        check_keys(entry, Competitor, f"methods.{label}.")
        _check_ranges(f"methods.{label}", entry.get("search"))
    unknown = [label for label in only or () if label not in methods]
    if unknown:
        near = difflib.get_close_matches(unknown[0], methods, 1)
        hint = f"did you mean {near[0]}?" if near else f"they are {', '.join(methods)}."
        raise ConfigError(f"--methods: {unknown[0]!r} is not among those of {path}; {hint}")
    if only is not None:
        values["methods"] = {label: methods[label] for label in only}
    try:
        config = TypeAdapter(CompareConfig).validate_python(values)
    except ValidationError as error:
        raise ConfigError(one_line(error)) from error
    return Comparison(config, read_base(path, config.base, config.set))
