"""What the features keep of a forgotten class; only the excess over the oracle is evidence."""

from __future__ import annotations

import numpy as np

from cu_core.audit.subject import Findings, Subject
from cu_core.metrics.accuracy import accuracy, wilson_interval
from cu_core.metrics.representation import linear_probe, mean_cosine, nearest_neighbours, prototype_recovery
from cu_core.types import MetricResult

SHOTS = 5
DRAWS = 20
NEIGHBOURS = 10


def representation(subject: Subject) -> Findings:
    """Linear probes on the embedding and on the hidden feature, nearest neighbours, and 5-shot prototypes, all fitted
    on train rows and scored on unseen rows of the forgotten class (percent); mean cosine among these rows (-1..1)."""
    forget, retain, test = subject.forget_all, subject.retain_train, subject.forget_test
    labels = np.concatenate([forget.labels, retain.labels])
    found = {
        name: accuracy(
            linear_probe(
                np.concatenate([getattr(forget, layer), getattr(retain, layer)]),
                labels,
                getattr(test, layer),
                test.labels,
            )
        )
        for name, layer in (("probe_accuracy", "embedding"), ("hidden_probe_accuracy", "hidden"))
    }
    few = forget.where(_like_a_class(forget.labels, retain.labels, subject.seed))
    found["knn_accuracy"] = accuracy(
        nearest_neighbours(
            np.concatenate([few.embedding, retain.embedding]),
            np.concatenate([few.labels, retain.labels]),
            test.embedding,
            test.labels,
            NEIGHBOURS,
        )
    )
    share = prototype_recovery(
        (forget.embedding, forget.labels),
        (retain.embedding, retain.labels),
        (test.embedding, test.labels),
        shots=SHOTS,
        draws=DRAWS,
        seed=subject.seed,
    )
    low, high = wilson_interval(round(share * len(test)), len(test))
    found["prototype_recovery"] = MetricResult(100 * share, len(test), 100 * low, 100 * high)
    cosine, error = mean_cosine(test.embedding, test.labels)
    found["within_class_cosine"] = MetricResult(cosine, len(test), cosine - 1.96 * error, cosine + 1.96 * error)
    return Findings(found)


def _like_a_class(labels: np.ndarray, retain_labels: np.ndarray, seed: int) -> np.ndarray:
    """Mask of as many rows of each forgotten class as a retained class has: neighbours vote by number."""
    wanted = int(np.median(np.unique(retain_labels, return_counts=True)[1]))
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(labels), dtype=np.bool_)
    for own in np.unique(labels):
        (rows,) = np.nonzero(labels == own)
        mask[rng.choice(rows, min(len(rows), wanted), replace=False)] = True
    return mask
