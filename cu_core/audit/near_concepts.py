"""Image-text models: what happened to the concepts nearest to a forgotten one, by how near they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cu_core.audit.answers import Answers
from cu_core.metrics.accuracy import accuracy
from cu_core.types import MetricResult

LAST_RANKS = {"5": 5, "20": 20, "100": 100, "rest": None}
"""Name of a bin -> last rank of its concepts; it begins after the bin before."""


def near_concepts(answers: Answers, references: Sequence[Answers], original: Answers) -> dict[str, MetricResult]:
    """Compute the zero-shot accuracy on test rows of retained classes, in bins by their rank.

    The nearest class has rank 1. The distance of a class is that of its prompt to the nearest prompt of a forgotten
    class, by the cosine in the original: ranks are the same for every model. Together the bins are a curve of the
    damage by distance. A bin without classes is left out.

    Args:
        answers: Answers of the model.
        references: Not used.
        original: Answers of the original.

    Returns:
        ``near_accuracy_5`` (ranks 1 to 5), ``near_accuracy_20`` (6 to 20), ``near_accuracy_100`` (21 to 100) and
        ``near_accuracy_rest``, in percent; empty without prompts.
    """
    if not len(original.prompts) or not len(answers.test_labels):
        return {}
    forgotten = np.unique(answers.forget_labels)
    retained = np.setdiff1d(answers.test_labels, forgotten)
    nearness = (original.prompts[retained] @ original.prompts[forgotten].T).max(1)
    ranked = retained[np.argsort(-nearness, kind="stable")]
    right = answers.test.argmax(1) == answers.test_labels
    found, first = {}, 0
    for name, last in LAST_RANKS.items():
        rows = np.isin(answers.test_labels, ranked[first:last])
        if rows.any():
            found[f"near_accuracy_{name}"] = accuracy(right[rows])
        first = last or len(ranked)
    return found
