"""What the features keep of a forgotten class; only the excess over the oracle is evidence."""

from __future__ import annotations

import numpy as np

from cu_core.audit.subject import Subject
from cu_core.metrics.accuracy import accuracy, wilson_interval
from cu_core.metrics.representation import linear_probe, prototype_recovery
from cu_core.types import MetricResult

SHOTS = 5
DRAWS = 20


def representation(subject: Subject) -> dict[str, MetricResult]:
    """``probe_accuracy``: a linear probe fitted on train rows of all classes, on unseen rows of the forgotten class;
    ``prototype_recovery``: the same rows by nearest class mean, five forget rows standing for the class (percent)."""
    if subject.split.forget.kind != "class":
        return {}
    forget, retain, test = subject.forget_all, subject.retain_train, subject.forget_test
    correct = linear_probe(
        np.concatenate([forget.embedding, retain.embedding]),
        np.concatenate([forget.labels, retain.labels]),
        test.embedding,
        test.labels,
    )
    share = prototype_recovery(
        forget.embedding, retain.embedding, retain.labels, test.embedding, shots=SHOTS, draws=DRAWS, seed=subject.seed
    )
    low, high = wilson_interval(round(share * len(test)), len(test))
    return {
        "probe_accuracy": accuracy(correct),
        "prototype_recovery": MetricResult(100 * share, len(test), 100 * low, 100 * high),
    }
