"""Ranges and choices of searched settings: checks, edges and widening."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from cu_core.errors import UserError

Space = Mapping[str, Mapping[str, Sequence[Any]]]
KINDS = ("uniform", "loguniform", "int", "choice")
WITHIN = "within"
"""Key of a range's natural limits; ``null``: no limit. A bound at its limit is not an edge, and ranges are never
widened beyond it."""
EDGE_FRAC = 0.05
"""Values nearer to a bound than this fraction of the (logarithmic) width of the range are at its edge."""
DIGITS = 3
"""Significant digits of drawn values, so that a setting can be typed."""


def kind_of(drawn: Mapping[str, Sequence[Any]]) -> str:
    return next(kind for kind in KINDS if kind in drawn)


def values_of(drawn: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
    """Return both ends of a range, or all choices."""
    return drawn[kind_of(drawn)]


def check_range(name: str, drawn: Mapping[str, Sequence[Any]], *, limits: bool = False) -> None:
    """Check one entry of a space. With ``limits``, a range may have natural limits.

    Raises: UserError with the ``name`` of the setting.
    """
    kinds = [kind for kind in drawn if kind != WITHIN or not limits]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        raise UserError(f"{name}: must be one of {', '.join(KINDS)} with its values, got {dict(drawn)}")
    kind, values = kinds[0], drawn[kinds[0]]
    if kind == "choice":
        if not values or WITHIN in drawn:
            raise UserError(f"{name}: choice must not be empty, and has no natural limits")
        return
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    whole = kind != "int" or all(isinstance(v, int) for v in numbers)
    if len(values) != 2 or len(numbers) != 2 or not whole or not all(map(math.isfinite, numbers)):
        told = f"{'whole ' if kind == 'int' else ''}numbers, got {list(values)} (write 1.0e-4, not 1e-4)"
        raise UserError(f"{name}: {kind} needs two {told}")
    if not numbers[0] < numbers[1] or (kind == "loguniform" and numbers[0] <= 0):
        raise UserError(f"{name}: {kind} must go from low to high (above 0 for loguniform), got {list(values)}")
    if WITHIN in drawn:
        _check_limits(name, kind, numbers, drawn[WITHIN])


def _check_limits(name: str, kind: str, ends: Sequence[float], limits: Sequence[Any]) -> None:
    known = [v for v in limits if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(limits) != 2 or not known or any(v is not None and v not in known for v in limits):
        raise UserError(f"{name}: within needs two natural limits, null for none, got {list(limits)}")
    low, high = limits
    if (low is not None and low > ends[0]) or (high is not None and high < ends[1]):
        raise UserError(f"{name}: {kind} {list(ends)} must lie within its natural limits {list(limits)}")
    if kind == "int" and any(isinstance(v, float) for v in known):
        raise UserError(f"{name}: natural limits of int must be whole numbers, got {list(limits)}")
    if kind == "loguniform" and low is not None and low <= 0:
        raise UserError(f"{name}: a natural limit of loguniform must lie above 0, got {low} (null: none)")


def plain_choice(value: Any) -> str | int | float | bool:
    """Return a choice in a type that Optuna accepts."""
    return value if isinstance(value, str | int | float | bool) else str(value)


def distribution(drawn: Mapping[str, Sequence[Any]]) -> BaseDistribution:
    """Return Optuna's distribution of a range or choice."""
    kind, values = kind_of(drawn), values_of(drawn)
    if kind == "choice":
        return CategoricalDistribution([plain_choice(v) for v in values])
    low, high = values
    return IntDistribution(low, high) if kind == "int" else FloatDistribution(low, high, log=kind == "loguniform")


def rounded(value: float, drawn: Mapping[str, Sequence[Any]]) -> float:
    """Round to three significant digits, within the range."""
    low, high = values_of(drawn)
    return float(min(max(float(f"{value:.{DIGITS}g}"), low), high))


def edge_of(value: float, drawn: Mapping[str, Sequence[Any]]) -> str | None:
    """Return ``low`` or ``high`` if the value is at that edge of its range and the edge is no natural limit."""
    kind = kind_of(drawn)
    if kind == "choice":
        return None
    scale = math.log if kind == "loguniform" else float
    low, high = map(scale, values_of(drawn))
    limits = drawn.get(WITHIN, (None, None))
    near = EDGE_FRAC * (high - low)
    if scale(value) <= low + near and limits[0] != values_of(drawn)[0]:
        return "low"
    if scale(value) >= high - near and limits[1] != values_of(drawn)[1]:
        return "high"
    return None


def widened(drawn: Mapping[str, Sequence[Any]], edge: str, factor: float) -> dict[str, Sequence[Any]]:
    """Move the ``edge`` of a range so that it is ``factor`` times as wide, at most to its natural limit.

    The width of a logarithmic range is that of the logarithms.
    """
    kind = kind_of(drawn)
    low, high = values_of(drawn)
    limits = drawn.get(WITHIN, (None, None))
    if kind == "loguniform":
        ratio = (high / low) ** (factor - 1)
        low, high = (low / ratio, high) if edge == "low" else (low, high * ratio)
    else:
        more = (high - low) * (factor - 1)
        low, high = (low - more, high) if edge == "low" else (low, high + more)
    ends = [math.floor(low), math.ceil(high)] if kind == "int" else [_tidy(end) for end in (low, high)]
    if limits[0] is not None:
        ends[0] = max(ends[0], limits[0])
    if limits[1] is not None:
        ends[1] = min(ends[1], limits[1])
    return {**drawn, kind: ends}


def _tidy(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
