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
from cu_core.messages import shown_some
from cu_core.validation import one_line
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
    verdicts: tuple[str, ...] = ()
    """Verdicts of the last audit, e.g. ``[under-forgotten, over-forgotten]``."""
    metrics: Mapping[str, Bound] = field(default_factory=dict)
    """Figure of the last audit, e.g. ``oracle_gap`` -> greatest absolute value."""

    def written(self) -> dict[str, Any]:
        """As an entry holds it."""
        return {**asdict(self), "verdicts": list(self.verdicts), "metrics": dict(self.metrics)}

    def due(self, batches: int, rows_frac: float, verdict: str | None, figures: Mapping[str, float]) -> list[str]:
        """Why a retrained model is due; empty if it is not.

        Raises: ConfigError for a figure that the last audit does not have.
        """
        why = []
        if self.batches is not None and batches >= self.batches:
            why.append(f"{batches} batches were answered (bound {self.batches})")
        if self.rows_frac is not None and rows_frac >= self.rows_frac:
            why.append(f"{100 * rows_frac:.2f}% of the training rows are forgotten (bound {100 * self.rows_frac:g}%)")
        if verdict in self.verdicts:
            why.append(f"the last verdict is {verdict}")
        for name, bound in self.metrics.items() if figures else ():
            if name not in figures:
                raise ConfigError(f"metrics.{name}: the last audit has no such figure; it has {shown_some(figures)}.")
            if abs(figures[name]) > bound or math.isnan(figures[name]):
                why.append(f"{name} is {figures[name]:.2f} (bound {bound:g})")
        return why


def read_policy(path: Path | None) -> Policy:
    """Raises: ConfigError for what is no policy."""
    return policy_from({} if path is None else read_yaml(path), str(path))


def policy_from(values: Mapping[str, Any], source: str) -> Policy:
    try:
        return TypeAdapter(Policy).validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {one_line(error, set())}") from error
