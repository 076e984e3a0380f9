"""Where unseen rows of a forgotten class go: a retrained model gives them to the classes they resemble."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cu_core.audit.answers import Answers
from cu_core.metrics.accuracy import accuracy
from cu_core.types import MetricResult

NEAREST = 3


def received(answers: Answers) -> NDArray[np.float64]:
    """Compute the share of the unseen forgotten-class rows that each class receives, (C,)."""
    classes = answers.unseen.shape[1]
    return np.bincount(answers.unseen.argmax(1), minlength=classes) / len(answers.unseen)


def neighbours(answers: Answers, references: Sequence[Answers]) -> dict[str, MetricResult]:
    """Compute where the unseen rows of the forgotten classes go; empty without references or such rows.

    ``neighbour_share`` is the percentage of the rows that go to the three classes to which the references send most.
    ``assignment_distance`` is the total variation (percent) between the two distributions over classes. ``own_share``
    is the percentage that stays in a forgotten class.
    """
    if not references or not len(answers.unseen):
        return {}
    expected = np.mean([received(r) for r in references], axis=0)
    nearest = np.argsort(expected)[-NEAREST:]
    shares, rows = received(answers), len(answers.unseen)
    distance = min(100.0, 50 * float(np.abs(shares - expected).sum()))
    half = 1.96 * 50 * float(np.sqrt((shares * (1 - shares)).sum() / rows))
    return {
        "own_share": accuracy(np.isin(answers.unseen.argmax(1), np.unique(answers.forget_labels))),
        "neighbour_share": accuracy(np.isin(answers.unseen.argmax(1), nearest)),
        "assignment_distance": MetricResult(distance, rows, max(0.0, distance - half), min(100.0, distance + half)),
    }
