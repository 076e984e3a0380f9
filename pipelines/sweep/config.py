"""Settings of a sweep file."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cu_core.audit.table import METRICS
from cu_core.bounds import Seed, Trials
from cu_core.errors import UserError
from pipelines.grid.ranges import Space, check_range
from pipelines.grid.study_file import OWN, Settings


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Seed and request of the trials. They are not reported."""

    seed: Seed = 9
    """Seed of the trials."""
    request: Settings
    """Request of the trials."""


@dataclass(frozen=True, kw_only=True)
class Reported:
    """Seeds and requests on which the winner and the settings of ``base`` run again."""

    seeds: Sequence[Seed] = (0, 1, 2)
    """Seeds of these runs."""
    requests: Sequence[Settings] = ()
    """Requests of these runs; empty: the request of ``base``."""


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A search of settings."""

    __pydantic_config__ = {"extra": "forbid"}

    base: str
    """Run configuration, relative to this file."""
    set: Settings = field(default_factory=dict)
    """Changes to ``base`` for every trial."""
    tuning: Tuning
    reported: Reported = field(default_factory=Reported)
    space: Space
    """Dotted keys and their ranges: ``{uniform: [low, high]}``, ``{loguniform: [low, high]}``,
    ``{int: [first, last]}``, ``{choice: [...]}``."""
    reparametrise: bool = False
    """Class requests: search the ratio of lambda_ul and temperature, with the temperature of ``base``."""
    trials: Trials | None = None
    """Number of trials; ``null`` for ``grid``, which runs all combinations."""
    objective: str = "gap"
    """Figure that is minimised on the stop set. ``gap``: the mean distance to the oracle; a metric's name: its distance
    to the oracle; ``proxy``: a figure without an oracle; ``pareto``: forgetting, utility and cost at once."""
    algorithm: Literal["tpe", "random", "grid"] = "tpe"
    """How trials are drawn: by Optuna's TPE, at random, or all combinations."""
    scheduler: Literal["asha", "median", "none"] = "asha"
    """Ends a trial early if its figures on the stop set are worse than those of others after about the same fraction of
    steps."""

    def __post_init__(self) -> None:
        if not self.space:
            raise UserError("space must name at least one setting")
        for key, drawn in self.space.items():
            _check_key(key)
            check_range(f"space.{key}", drawn)
        if self.objective not in ("gap", "proxy", "pareto", *METRICS):
            raise UserError(
                f"objective: {self.objective!r} is none of gap, proxy, pareto and the metrics{self._near()}"
            )
        if self.objective == "pareto" and self.scheduler != "none":
            raise UserError("scheduler: with three objectives, trials cannot be ranked and ended early; set none")
        if self.algorithm == "grid":
            if self.trials is not None or any("choice" not in drawn for drawn in self.space.values()):
                raise UserError("algorithm: grid runs all combinations of choices; trials must be null")
        elif self.trials is None or self.trials < 1:
            raise UserError(f"trials must be at least 1, got {self.trials}")
        elif self.trials > self.combinations:
            raise UserError(f"trials: {self.trials}, but there are {self.combinations:.0f} combinations; use grid")
        seeds = self.reported.seeds
        if self.tuning.seed in seeds or not seeds or len({*seeds}) < len(seeds):
            raise UserError("reported.seeds must be different numbers, at least one, and not the tuning seed")

    def _near(self) -> str:
        near = difflib.get_close_matches(self.objective, ("gap", "proxy", "pareto", *METRICS), 1)
        return f"; did you mean {near[0]}?" if near else f": {', '.join(METRICS)}"

    @property
    def count(self) -> int:
        """Number of trials."""
        return self.trials or int(self.combinations)

    @property
    def combinations(self) -> float:
        """Number of combinations of settings; infinite if one is drawn from a range."""
        return math.prod(len(d["choice"]) if "choice" in d else math.inf for d in self.space.values())


def _check_key(key: str) -> None:
    if key.split(".")[0] not in (*OWN, "trainable"):
        near = difflib.get_close_matches(key.split(".")[0], (*OWN, "trainable"), 1)
        hint = f"; did you mean {near[0]}?" if near else f": {', '.join(OWN)}, trainable"
        raise UserError(f"space.{key}: only settings of the unlearning can be searched{hint}")
