"""How good a result looks without an oracle: what a search minimises in production, from the stop set alone."""

from __future__ import annotations

import numpy as np

from cu_core.audit.answers import Answers
from cu_core.audit.oracle_gap import Figures
from cu_core.audit.table import METRICS
from cu_core.metrics.divergence import jensen_shannon
from cu_core.types import RequestKind

FORGETTING = ("forget", "output", "rebound")
CLASSIFIED = ("test_accuracy", "forget_accuracy", "mia_auc")
PAIRED = ("retain_i2t_r1", "forget_i2t_r1", "mia_cosine_auc")
"""Metrics of unseen rows, of forget rows, and of an attack on these."""


def proxy(
    kind: RequestKind, unlearned: Figures, original: Figures, answers: Answers, before: Answers, forgotten: list[int]
) -> dict[str, float]:
    """Estimate the quality of a result without oracles; distances in points, 0 at best.

    ``utility`` is the accuracy lost on unseen retain rows.

    Class requests: ``forget`` is the accuracy left on unseen rows of the class. ``output`` is the Jensen-Shannon
    distance (percent of its maximum) between their answers and the original's answers without the class. ``rebound`` is
    the accuracy that plain training brings back.

    Sample requests: ``forget`` is the difference between the accuracy on forget rows and on unseen rows. ``output`` is
    how far an attack on the loss is from chance. ``rebound`` is how far above unseen rows plain training brings the
    forget rows. Pairs without classes use the recall of captions instead of accuracy, and the attack on cosines.

    The rows are those that ``audit.report_on`` names.
    """

    def points(name: str, figures: Figures = unlearned) -> float:
        return METRICS[name].points(figures[name])

    names = CLASSIFIED if CLASSIFIED[0] in unlearned else PAIRED
    unseen = points(names[0])
    found = {"utility": max(0.0, points(names[0], original) - unseen)}
    if kind == "sample":
        own, attack = points(names[1]), points(names[2])
        back = max(0.0, points("rebound_accuracy") - unseen)
        return found | {"forget": abs(own - unseen), "output": abs(attack - 50), "rebound": back}
    without = before.unseen.astype(np.float64)
    without[:, forgotten] = 0
    without /= np.maximum(without.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    output = 100 * float(jensen_shannon(answers.unseen, without).mean()) / np.log(2)
    left, back = points("forget_test_accuracy"), points("rebound_accuracy")
    return found | {"forget": left, "output": float(output), "rebound": back}


def proxy_score(parts: dict[str, float]) -> float:
    """Return the mean of the parts."""
    return float(np.mean(list(parts.values())))
