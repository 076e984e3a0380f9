"""What earlier requests on the same data have shown of how much oracles differ, and of what a verdict can see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

FEWEST = 3
"""Requests from which a prior is made."""
MOST_FREEDOM = 100.0
POWER = 0.8
"""Share of models that must be told for an amount to count as detected."""


@dataclass(frozen=True)
class Spread:
    """Of one metric between the oracles of one request."""

    freedom: int
    variance: float
    """In points squared."""


@dataclass(frozen=True)
class Limits:
    """What `cu calibrate` measured of the verdict on requests of this kind and size, by models that it trained."""

    oracles: int
    """Oracles a verdict."""
    family_error: float
    false_alarms: tuple[int, int]
    """Held-out oracles that were told from the others, of how many."""
    left: Mapping[float, tuple[int, int]]
    """Percent of the forget rows that were left in training -> models called under-forgotten, of how many."""
    damaged: Mapping[float, tuple[int, int]]
    """Percent of the retain rows that were left out -> models called over- or under-forgotten, of how many."""

    @property
    def detected(self) -> float | None:
        """Smallest percent left from which on at least ``POWER`` of the models were told; absent if none was."""
        found = None
        for percent in sorted(self.left, reverse=True):
            told, count = self.left[percent]
            if told < POWER * count:
                break
            found = percent
        return found


@dataclass(frozen=True)
class Basis:
    """What earlier work on the same data tells of a verdict."""

    requests: int = 0
    """Other requests whose oracles showed how much oracles differ."""
    limits: Limits | None = None
    """Absent where `cu calibrate` was not run."""


@dataclass(frozen=True)
class Prior:
    """A variance that other requests suggest, and how many degrees of freedom it is worth."""

    freedom: float
    variance: float


def prior_of(spreads: Sequence[Spread]) -> Prior | None:
    """The scaled inverse chi-square distribution from which the variances of requests are drawn, by the moments of
    their logarithms (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3(1), sec. 6.2).

    Absent for fewer than ``FEWEST`` requests. A variance of 0 says nothing and is left out.
    """
    known = [s for s in spreads if s.variance > 0 and s.freedom > 0]
    if len(known) < FEWEST:
        return None
    half = np.array([s.freedom / 2 for s in known])
    e = np.log([s.variance for s in known]) - digamma(half) + np.log(half)
    excess = float(e.var(ddof=1) - polygamma(1, half).mean())
    freedom = min(2 * _trigamma_inverse(excess), MOST_FREEDOM) if excess > 0 else MOST_FREEDOM
    return Prior(freedom, float(np.exp(e.mean() + digamma(freedom / 2) - np.log(freedom / 2))))


def priors_of(requests: Sequence[Mapping[str, Spread]]) -> dict[str, Prior]:
    """By metric, from the spreads that every request has shown."""
    names = {name for request in requests for name in request}
    found = {name: prior_of([r[name] for r in requests if name in r]) for name in sorted(names)}
    return {name: prior for name, prior in found.items() if prior is not None}


def _trigamma_inverse(value: float) -> float:
    """x with trigamma(x) = value, which must be positive."""
    return float(brentq(lambda x: float(polygamma(1, x)) - value, 1e-6, 1e8))
