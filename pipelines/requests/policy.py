"""When a retrained model is due."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from cu_core.bounds import Inside
from cu_core.errors import ConfigError
from cu_core.messages import shown_some, shown_value
from cu_core.types import Word
from cu_core.validation import check_keys, one_line
from cu_core.yaml_io import read_yaml

Bound = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Bounds; a retrained model is due when one of them is reached. Without any it is never due."""

    __pydantic_config__ = {"extra": "forbid"}

    batches: Annotated[int, Field(ge=1, le=10**6)] | None = None
    """Batches of requests since the original."""
    rows_frac: Inside | None = None
    """Share of the training rows that is forgotten."""
    verdicts: tuple[Word, ...] = ()
    """Verdicts of the last audit, e.g. ``[under-forgotten, over-forgotten]``."""
    metrics: Mapping[str, Bound] = field(default_factory=dict)
    """Figure of the last audit, e.g. ``oracle_gap`` -> greatest absolute value."""

    def written(self) -> dict[str, Any]:
        """As an entry holds it."""
        return {**asdict(self), "verdicts": list(self.verdicts), "metrics": dict(self.metrics)}

    def due(self, batches: int, rows_frac: float, verdict: str | None, figures: Mapping[str, float]) -> list[str]:
        """Why a retrained model is due; empty if it is not. A figure that the last audit does not have decides nothing
        (``absent``)."""
        why = []
        if self.batches is not None and batches >= self.batches:
            why.append(f"batches answered: {batches} (bound {self.batches})")
        if self.rows_frac is not None and rows_frac >= self.rows_frac:
            why.append(f"{100 * rows_frac:.2f}% of the training rows are forgotten (bound {100 * self.rows_frac:g}%)")
        if verdict in self.verdicts:
            why.append(f"the last verdict is {verdict}")
        for name, bound in self.metrics.items():
            if name in figures and (abs(figures[name]) > bound or math.isnan(figures[name])):
                why.append(f"{name} is {figures[name]:.2f} (bound {bound:g})")
        return why

    def absent(self, figures: Mapping[str, float]) -> list[str]:
        """What is said of the figures that the last audit does not have."""
        return [
            f"metrics.{name} decides nothing: the last audit has no such figure; it has {shown_some(figures)}"
            for name in self.metrics
            if name not in figures
        ]


def read_policy(path: Path | None) -> Policy:
    """Raises: ConfigError for what is no policy, or one that no audit can meet."""
    if path is None:
        return Policy()
    if not path.is_file():
        raise ConfigError(f"--retrain-when: no file {path}; docs/guides/requests-over-time.md shows what it holds.")
    values = read_yaml(path)
    try:
        check_keys(values, Policy, "")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    policy = policy_from(values, str(path))
    if policy == Policy():
        raise ConfigError(
            f"{path}: holds no bound; give batches, rows_frac, verdicts or metrics, or no --retrain-when."
        )
    if policy.metrics:
        from pipelines.requests.figure_names import hint, is_figure  # with torch: two seconds

        for name in policy.metrics:
            if not is_figure(name):
                raise ConfigError(f"{path}: metrics: no audit has a figure {shown_value(name)}; {hint(name)}.")
    return policy


def policy_from(values: Mapping[str, Any], source: str) -> Policy:
    try:
        return TypeAdapter(Policy).validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {one_line(error, set())}") from error
