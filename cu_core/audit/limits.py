"""Smallest errors that a verdict detects, as measured by `cu calibrate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

POWER = 0.8
"""Fraction of judgements that must detect an amount."""


@dataclass(frozen=True)
class Limits:
    """How reliably verdicts detect known errors, for requests of one kind and size on the same data.

    Measured from judgements of models whose right verdict is known, several for each model.
    """

    oracles: int
    """By how many oracles each judgement was made."""
    family_error: float
    false_alarms: tuple[int, int]
    """Judgements of held-out oracles with a figure outside its tolerance, of how many."""
    left: Mapping[float, tuple[int, int]]
    """Percent of the forget rows that were left in training -> judgements that say under-forgotten, of how
    many."""
    lost: Mapping[float, tuple[int, int]]
    """Percent of the retain rows that were left out -> judgements with a figure outside, of how many."""
    noise: Mapping[float, tuple[int, int]]
    """The same for noise on the weights, in percent of their standard deviation."""

    @property
    def detected(self) -> float | None:
        """Smallest percent left that, like every larger one, at least ``POWER`` of judgements found, or ``None``."""
        found = None
        for percent in sorted(self.left, reverse=True):
            told, count = self.left[percent]
            if told < POWER * count:
                break
            found = percent
        return found

    def with_amounts_of(self, earlier: Limits) -> Limits:
        """Return these limits plus the amounts that an earlier calibration measured and this one did not."""
        return replace(
            self,
            left={**earlier.left, **self.left},
            lost={**earlier.lost, **self.lost},
            noise={**earlier.noise, **self.noise},
        )
