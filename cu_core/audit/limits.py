"""What a verdict can see, as `cu calibrate` measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

POWER = 0.8
"""Share of models that must be told for an amount to count as detected."""


@dataclass(frozen=True)
class Limits:
    """Judgements of models whose right verdict is known, for requests of one kind and size on the same data."""

    oracles: int
    """Oracles a verdict."""
    family_error: float
    false_alarms: tuple[int, int]
    """Held-out oracles that were told from the others, of how many."""
    left: Mapping[float, tuple[int, int]]
    """Percent of the forget rows that were left in training -> models called under-forgotten, of how many."""
    lost: Mapping[float, tuple[int, int]]
    """Percent of the retain rows that were left out -> models with a figure outside, of how many."""
    noise: Mapping[float, tuple[int, int]]
    """The same for noise on the weights, in percent of their standard deviation."""

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
