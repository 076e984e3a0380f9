"""A finished sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from pipelines.sweep.ray_tune import TrialResult
from pipelines.sweep.space import Sweep

DEFAULT, WINNER = "base", "winner"


@dataclass(frozen=True)
class SweepResult:
    """A finished search, with its winner."""

    sweep: Sweep
    name: str
    trials: list[TrialResult]
    winner: TrialResult
    front: list[TrialResult]
    """The Pareto front: no other trial is better in one figure without being worse in another. With one objective: the
    winner."""
    again: dict[str, list[float]]
    """Gap (without oracles: proxy) of the settings of ``base`` and of the winner, per reported request and seed."""
    figure: str
    """Figure in ``again``: ``gap`` or ``proxy``."""
    folder: Path

    @property
    def rank_correlation(self) -> float | None:
        """Spearman correlation of proxy and gap over finished trials. ``None`` without oracles or with under three."""
        pairs = [(t.found["proxy"], t.found["gap"]) for t in self.trials if "gap" in t.found]
        return float(spearmanr(*zip(*pairs, strict=True)).statistic) if len(pairs) > 2 else None

    @property
    def better(self) -> bool:
        """Whether the winner's mean on fresh seeds is lower than that of ``base``."""
        return float(np.mean(self.again[WINNER])) < float(np.mean(self.again[DEFAULT]))
