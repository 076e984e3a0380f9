"""The strong tier of the audit: pools of models compared by their margins on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cu_core.data.forget_split import ForgetSplit, RowSet
from cu_core.data.order import Rows
from cu_core.files import load_arrays, save_arrays
from cu_core.metrics.ensembles import forgetting_epsilon, forgetting_quality, gaussian_divergence, klom
from cu_core.metrics.lira import auc_over_models, logit_margin, u_lira, u_lira_offline, u_rmia
from cu_core.metrics.resolution import LARGEST, detectable_shift, row_correlation
from cu_core.models.classifier import Classifier
from cu_core.unlearn.evaluate import predict

Array = NDArray[np.float64]
TARGETS = 1000
"""Most forget rows, and most unseen rows, that are looked at."""
PERCENTILE = 95
ATTACKS: dict[str, tuple[str, Callable[[Array, NDArray[np.bool_], Array], Array]]] = {
    "u_lira_auc": ("U-LiRA AUC", lambda margins, unlearned, population: u_lira(margins, unlearned)),
    "u_lira_offline_auc": (
        "U-LiRA AUC, one-sided",
        lambda margins, unlearned, population: u_lira_offline(margins, unlearned),
    ),
    "u_rmia_auc": ("U-RMIA AUC", u_rmia),
}
DRAWS = 500


def spread(rows: Rows, count: int) -> Rows:
    """Return at most ``count`` of the rows, evenly spaced, since neighbouring rows often share a class."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]


@dataclass(frozen=True)
class Margins:
    """Outputs of one model: log(p_y / (1 - p_y)) on target rows and on unseen rows, and two accuracies (0..1)."""

    target: Array
    unseen: Array
    retain_accuracy: Array
    test_accuracy: Array

    def save(self, path: Path) -> None:
        """Write the arrays to one file."""
        save_arrays(path, vars(self))

    @staticmethod
    def load(path: Path) -> Margins:
        """Read arrays that ``save`` wrote."""
        return Margins(**load_arrays(path))


def margins_of(model: Classifier, split: ForgetSplit, targets: RowSet) -> Margins:
    """Compute the margins of one model.

    Args:
        model: The model.
        split: Gives the holdout, retain and test rows, and the reader.
        targets: Training rows of the whole set, read through ``split``'s reader.

    Returns:
        Margins and accuracies.
    """
    found = [
        predict(model, split.reader, rows) for rows in (targets, RowSet("val", spread(split.holdout.rows, TARGETS)))
    ]
    target, unseen = (logit_margin(p.logits, p.labels) for p in found)
    retain, test = (
        predict(model, split.reader, rows).correct.mean() for rows in (split.retain_train, split.retain_test)
    )
    return Margins(target, unseen, np.asarray(retain), np.asarray(test))


@dataclass(frozen=True)
class StrongFigure:
    """One figure for the method and for doing nothing, with the value that retraining would have."""

    name: str
    title: str
    unlearned: float
    low: float | None
    high: float | None
    """95% interval of ``unlearned``."""
    doing_nothing: float
    retrained: float
    """Value of a perfect method: chance, or what two disjoint halves of the oracles show."""
    detects: float | None = None
    """Smallest shift of every margin, in standard deviations over oracles, that the excess over ``retrained`` finds in
    80% of audits of so many models and rows; of distances between ensembles."""


DISTANCES: dict[str, tuple[str, Callable[[Array, Array], Array]]] = {
    "klom": ("KLoM", klom),
    "gaussian": ("Gaussian KL of margins", gaussian_divergence),
}
PARTS = {"forget": "target", "unseen": "unseen"}


def pool_a(pools: Mapping[str, Sequence[Margins]]) -> tuple[list[StrongFigure], dict[str, str]]:
    """Compute distances and forgetting quality from models of N seeds.

    All comparisons are of N/2 models against the other N/2 oracles, so that the null, oracles against oracles, has the
    same size.

    Args:
        pools: Margins of the ``original``, ``unlearned`` and ``oracle`` models, one of each seed.

    Returns:
        The figures, and for each absent distance why it is absent.
    """
    half = len(pools["oracle"]) // 2
    figures: list[StrongFigure] = []
    absent: dict[str, str] = {}
    for name, (words, distance) in DISTANCES.items():
        for part, place in PARTS.items():
            stacks = {role: np.stack([getattr(m, place) for m in models]) for role, models in pools.items()}
            title = f"{words}, {part} rows, {PERCENTILE}th percentile (nats)"
            figure = _distance(f"{name}_{part}", title, distance, stacks, half)
            if figure.detects is None:
                absent[figure.name] = (
                    f"{half} models against {half} do not show a shift of {LARGEST:g} standard deviations of the "
                    f"oracles' margins in 80% of audits of {stacks['oracle'].shape[1]} rows; take more models"
                )
            else:
                figures.append(figure)
    return figures + _quality(pools, half), absent


def _distance(
    name: str, title: str, distance: Callable[[Array, Array], Array], stacks: Mapping[str, Array], half: int
) -> StrongFigure:
    """Compute the 95th percentile over rows, and the shift it detects with these oracles' correlation of rows."""
    against = stacks["oracle"][half : 2 * half]
    rows = {role: distance(stack[:half], against) for role, stack in stacks.items()}
    value, low, high = _percentile(rows["unlearned"])
    null, doing_nothing = (float(np.percentile(rows[role], PERCENTILE)) for role in ("oracle", "original"))
    detects = detectable_shift(
        lambda a, b: float(np.percentile(distance(a, b), PERCENTILE)),
        half,
        against.shape[1],
        row_correlation(stacks["oracle"]),
    )
    return StrongFigure(name, title, value, low, high, doing_nothing, null, detects=detects)


def _quality(pools: Mapping[str, Sequence[Margins]], half: int) -> list[StrongFigure]:
    """Compute the forgetting quality, alone and times utility (Triantafillou et al. 2024, eq. 4)."""
    target = {role: np.stack([m.target for m in models]) for role, models in pools.items()}
    against = target["oracle"][half : 2 * half]
    score = {role: forgetting_quality(forgetting_epsilon(stack[:half], against)) for role, stack in target.items()}
    final = {role: score[role] * _utility(pools[role][:half], pools["oracle"][half : 2 * half]) for role in score}
    rows = (
        ("forgetting_quality", "forgetting quality (NeurIPS 2023, 0 to 1)", score),
        ("challenge_score", "the same, times retain and test accuracy over the oracles'", final),
    )
    return [
        StrongFigure(name, title, of["unlearned"], None, None, of["original"], of["oracle"]) for name, title, of in rows
    ]


def _utility(models: Sequence[Margins], oracles: Sequence[Margins]) -> float:
    """Multiply retain and test accuracy, each relative to the oracles' (Triantafillou et al. 2024, eq. 4)."""

    def ratio(name: str) -> float:
        return float(np.mean([getattr(m, name) for m in models]) / np.mean([getattr(m, name) for m in oracles]))

    return ratio("retain_accuracy") * ratio("test_accuracy")


def _percentile(values: Array) -> tuple[float, float, float]:
    """Compute the 95th percentile over rows with its bootstrap interval."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(DRAWS, len(values)))]
    low, high = np.quantile(np.percentile(drawn, PERCENTILE, axis=1), [0.025, 0.975])
    return float(np.percentile(values, PERCENTILE)), float(low), float(high)


def pool_b(pools: Mapping[str, Sequence[Margins]], trained_on_MT: NDArray[np.bool_]) -> list[StrongFigure]:
    """Compute U-LiRA (two-sided and one-sided) and U-RMIA (one-sided) from models trained on random halves.

    Args:
        pools: Margins of the ``original`` and ``unlearned`` models.
        trained_on_MT: Which target rows each model was trained on; its unlearned form has forgotten these.

    Returns:
        One figure for each attack.

    Raises:
        UserError: There are too few models.
    """
    figures = []
    for name, (title, attack) in ATTACKS.items():
        found = {}
        for role, models in pools.items():
            margins = np.stack([m.target for m in models])
            population = np.stack([m.unseen for m in models])
            found[role] = auc_over_models(attack(margins, trained_on_MT, population), trained_on_MT)
        value, low, high = found["unlearned"]
        figures.append(StrongFigure(name, title, value, low, high, found["original"][0], 0.5))
    return figures
