"""How far a model's answers lie from those of retrained models, on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cu_core.audit.answers import Answers
from cu_core.metrics.divergence import PerRow, Probabilities, entropy, jensen_shannon, total_variation
from cu_core.types import MetricResult

DISTANCES = {"js": jensen_shannon, "tv": total_variation}
SETS = ("forget", "test")


def output_distance(answers: Answers, references: Sequence[Answers]) -> dict[str, MetricResult]:
    """Compute the mean distance of the answers to those of the references.

    Per row: Jensen-Shannon divergence (nats) and total variation (0..1). Two figures need no reference: the entropy
    (nats) and the probability of the own label on forget rows (0..1).
    """
    own = answers.forget[np.arange(len(answers.forget)), answers.forget_labels].astype(np.float64)
    found = {"forget_entropy": _mean(entropy(answers.forget)), "forget_confidence": _mean(own)}
    if references:
        for name, distance in DISTANCES.items():
            for part in SETS:
                found[f"{part}_{name}"] = _mean(_to_references(distance, part, answers, references))
    return found


def _to_references(
    distance: Callable[[Probabilities, Probabilities], PerRow],
    part: str,
    answers: Answers,
    references: Sequence[Answers],
) -> PerRow:
    rows = [distance(getattr(answers, part), getattr(reference, part)) for reference in references]
    return np.asarray(np.mean(rows, axis=0), dtype=np.float64)


def _mean(values: PerRow) -> MetricResult:
    """Return the mean with its 95% interval."""
    mean, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0
    return MetricResult(mean, len(values), max(0.0, mean - half), mean + half)
