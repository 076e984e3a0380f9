"""What is compared: one YAML file -> the run configuration of every cell."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cu_core.audit.verdict import Word
from cu_core.config import RunConfig
from cu_core.config_io import ConfigError, check_keys, config_from, merge, one_line, overridden, parse_yaml
from cu_core.methods.table import METHODS

Settings = Mapping[str, Any]
OWN = ("method", "optimizer", "batches", "stop", "batch_norm", "preset")
"""Parts of the run configuration that belong to a method."""
DRAWN = ("by_random", "by_neighbours")
"""Requests drawn by a seed."""
CONTROLS = ("doing nothing", "oracle")


@dataclass(frozen=True, kw_only=True)
class Competitor:
    """A method of the comparison; its label is the method's name, or any other where ``set.method.name`` is given."""

    set: Settings = field(default_factory=dict)
    """Its settings over those of ``base`` and ``set``."""
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Dotted keys and their values; every combination is a trial."""
    expect: Sequence[Word] = ()
    """Verdicts that it must get, for models whose verdict is known; the table then says which it got."""

    @property
    def trials(self) -> list[dict[str, Any]]:
        """One mapping of dotted keys to values for each combination."""
        return [dict(zip(self.search, values, strict=True)) for values in itertools.product(*self.search.values())]

    def check(self, label: str) -> None:
        """Raises: ValueError for a label that names no method, and for settings that are not the method's own."""
        if not re.fullmatch(r"[\w .-]+", label):
            raise ValueError(f"methods.{label}: a label is made of letters, digits, spaces, dots, - and _")
        method = self.set.get("method", {})
        name = method.get("name") if isinstance(method, Mapping) else None
        if label in CONTROLS or not isinstance(method, Mapping):
            raise ValueError(
                f"methods.{label}: {'the name of a control' if label in CONTROLS else 'set.method is empty'}"
            )
        if label in METHODS and name not in (None, label):
            raise ValueError(f"methods.{label}: set.method.name is {name}; give the entry a label of its own")
        if label not in METHODS and name is None and "preset" not in self.set:
            near = difflib.get_close_matches(label, METHODS, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(
                f"methods.{label}: no method of that name; {hint}`cu methods` lists them; another label needs "
                f"set.method.name or set.preset"
            )
        for key in [*self.set, *self.search]:
            if key.split(".")[0] not in OWN:
                part = "set" if key in self.set else "search"
                raise ValueError(
                    f"methods.{label}.{part}.{key}: a method may set {', '.join(OWN)} only; what all cells share is "
                    f"changed in the part set"
                )
        stop = self.set.get("stop", {})
        if "stop.max_steps" in self.search or (isinstance(stop, Mapping) and "max_steps" in stop):
            raise ValueError(f"methods.{label}: stop.max_steps follows from budget_rows")
        if any(len({json.dumps(v) for v in values}) < len(values) for values in self.search.values()):
            raise ValueError(f"methods.{label}.search holds a value twice")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Where each method's own small search is decided; none of it is reported."""

    trials: int
    """Trials of every method that searches."""
    seeds: Sequence[int] = (9,)
    requests: Sequence[Settings]

    def __post_init__(self) -> None:
        if self.trials < 1 or not self.seeds or not self.requests:
            raise ValueError("tuning needs at least one trial, one seed and one request")


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """A whole comparison."""

    __pydantic_config__ = {"extra": "forbid"}

    base: str
    """Run configuration, relative to this file."""
    set: Settings = field(default_factory=dict)
    """Changes to it for every cell."""
    requests: Mapping[str, Sequence[Settings]]
    """Named groups of forget requests; each group is a table."""
    seeds: Sequence[int] = (0, 1, 2)
    budget_rows: int
    """Most rows that a run may forward through any model, preparation included; stop checks are counted apart."""
    methods: Mapping[str, Competitor]
    tuning: Tuning | None = None

    def __post_init__(self) -> None:
        if not self.requests or not all(self.requests.values()) or not self.methods or self.budget_rows < 1:
            raise ValueError("requests, every group of them and methods must not be empty, budget_rows at least 1")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different numbers, at least one, got {list(self.seeds)}")
        for label, competitor in self.methods.items():
            competitor.check(label)
            if competitor.search and self.tuning is None:
                raise ValueError(f"methods.{label}.search needs a part tuning (seeds, requests, trials)")
            count = len(competitor.trials)
            if competitor.search and self.tuning is not None and count != self.tuning.trials:
                raise ValueError(
                    f"methods.{label}.search has {count} combinations, tuning.trials is {self.tuning.trials}"
                )
        shared = set(self.seeds) & set(self.tuning.seeds if self.tuning else ())
        if shared:
            raise ValueError(f"tuning.seeds: {sorted(shared)} are reported seeds too; tune on others")


@dataclass(frozen=True)
class Sizes:
    """What the cost of a cell depends on: rows to forget and to retain, classes to forget, classes there are."""

    forget: int
    retain: int
    forget_classes: int
    classes: int


@dataclass(frozen=True)
class Comparison:
    """The file, read."""

    config: CompareConfig
    base: dict[str, Any]
    """Plain mapping of the run configuration that all cells share."""

    def run_config(self, request: Settings, seed: int, *, tuning: bool) -> RunConfig:
        """What the cells of one request and seed share. A request that is drawn gets the cell's seed."""
        return config_from(self._shared(request, seed, tuning))

    def plain_config(self, seed: int) -> RunConfig:
        """What concerns the original alone, whatever is forgotten and how."""
        parts = {k: v for k, v in self.base.items() if k not in (*OWN, "request", "name")}
        return config_from({**parts, "seed": seed, "request": {"kind": "by_random", "count": 1}})

    def _shared(self, request: Settings, seed: int, tuning: bool) -> dict[str, Any]:
        drawn = {"seed": seed} if request.get("kind") in DRAWN else {}
        values = merge(self.base, {"seed": seed, "audit": {"report_on": "stop" if tuning else "test"}})
        return {**values, "request": {**drawn, **request}}

    def cell_config(
        self, label: str, trial: Settings, request: Settings, seed: int, *, tuning: bool, sizes: Sizes
    ) -> RunConfig:
        """The configuration of a cell, its steps cut to the budget for sets of these sizes.

        Raises: ConfigError for settings that do not fit, or if the budget buys no step.
        """
        values = self._shared(request, seed, tuning)
        if label in METHODS:
            values = merge(values, {"method": {"name": label}})
        values = merge(values, self.config.methods[label].set)
        try:
            return within_budget(config_from(with_settings(values, trial)), self.config.budget_rows, label, sizes)
        except ConfigError as error:
            text = str(error)
            raise ConfigError(text if text.startswith("methods.") else f"methods.{label}: {text}") from error


def with_settings(values: Settings, dotted: Settings) -> dict[str, Any]:
    """Plain mapping with dotted keys set in it."""
    return overridden(values, [f"{key}={json.dumps(value)}" for key, value in dotted.items()])


def within_budget(config: RunConfig, budget: int, label: str, sizes: Sizes) -> RunConfig:
    """As many steps as the budget buys; the step counts of the stop rule keep their proportion.

    Raises: ConfigError if it buys none.
    """
    method, batches, stop = config.method, config.batches, config.stop
    ready = method.rows_to_prepare(sizes.forget, sizes.retain, sizes.forget_classes)
    forget = min(batches.forget_batch, sizes.forget)
    positives = batches.positives_per_class * min(sizes.classes, forget)
    retain = batches.retain_batch + (positives if batches.retain_sampling == "class_aware" else 0)
    each = method.rows_per_step(forget, retain)
    steps = 1 if method.closed_form else int((budget - ready) // each)
    if ready > budget or steps < 1:
        raise ConfigError(
            f"methods.{label}: budget_rows={budget} buys no step (the method forwards {ready} rows to prepare and "
            f"{each:.0f} a step)."
        )
    factor = steps / stop.max_steps
    check_every, further = max(1, round(stop.check_every * factor)), round(stop.further_steps * factor)
    return replace(config, stop=replace(stop, max_steps=steps, check_every=check_every, further_steps=further))


def read_values(path: Path, overrides: Sequence[str], kind: type, word: str, folder: str) -> dict[str, Any]:
    """Of a file that builds on a run configuration, its keys checked against ``kind``.

    Raises: ConfigError.
    """
    if not path.is_file():
        raise ConfigError(f"no configuration file {path}; complete ones are in tune_configs/{folder}/.")
    values = parse_yaml(path.read_text(), str(path))
    values = overridden(values, overrides)
    if "base" not in values:
        raise ConfigError(f"{path} is no {word}: it has no key base (`cu unlearn` takes run configurations).")
    check_keys(values, kind, "")
    return values


def read_base(path: Path, base: str, changes: Settings) -> dict[str, Any]:
    """The run configuration that the file ``path`` names, with its changes.

    Raises: ConfigError.
    """
    file = path.parent / base
    if not file.is_file():
        raise ConfigError(f"base: no configuration file {file} (the path is relative to {path.parent}).")
    return merge(parse_yaml(file.read_text(), str(file)), changes)


def read_comparison(path: Path, overrides: Sequence[str] = (), only: Sequence[str] | None = None) -> Comparison:
    """Read and check the file; ``overrides`` are dotted settings of it, e.g. ``seeds=[0]`` or ``set.storage=other``;
    ``only`` names the methods that take part, absent: all.

    Raises: ConfigError.
    """
    values = read_values(path, overrides, CompareConfig, "comparison", "compare")
    methods = values.get("methods", {})
    for label, entry in methods.items() if isinstance(methods, Mapping) else ():
        if not isinstance(entry, Mapping):
            raise ConfigError(f"methods.{label}: must hold keys and values ({{}} for none), got {entry!r}.")
        check_keys(entry, Competitor, f"methods.{label}.")
    unknown = [label for label in only or () if label not in methods]
    if unknown:
        near = difflib.get_close_matches(unknown[0], methods, 1)
        hint = f"did you mean {near[0]}?" if near else f"they are {', '.join(methods)}."
        raise ConfigError(f"--methods: {unknown[0]!r} is not among those of {path}; {hint}")
    if only:
        values["methods"] = {label: methods[label] for label in only}
    try:
        config = TypeAdapter(CompareConfig).validate_python(values)
    except ValidationError as error:
        raise ConfigError(one_line(error)) from error
    return Comparison(config, read_base(path, config.base, config.set))
