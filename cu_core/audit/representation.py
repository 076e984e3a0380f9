"""What the features keep of a forgotten class; only the excess over the oracle is evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cu_core.audit.subject import Findings, Subject
from cu_core.metrics.accuracy import accuracy, mean_rate
from cu_core.metrics.imprinting import Known, imprinted_recovery
from cu_core.metrics.representation import linear_probe, mean_cosine, nearest_neighbours, prototype_recovery
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import Predictions

SHOTS = 5
DRAWS = 20
NEIGHBOURS = 10


def representation(subject: Subject) -> Findings:
    """Measure how much of a forgotten class the features keep.

    Linear probes on the embedding and on the hidden feature, nearest neighbours, and 5-shot prototypes: all are fitted
    on train rows and scored on unseen rows of the forgotten class (percent). So is the head, with a row for the class
    that is made of 5 shots. Also the mean cosine among these rows (-1..1).
    """
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
    recovered = prototype_recovery(
        (forget.embedding, forget.labels),
        (retain.embedding, retain.labels),
        (test.embedding, test.labels),
        shots=SHOTS,
        draws=DRAWS,
        seed=subject.seed,
    )
    for suffix, rows in _parts(test.labels, subject.split.forget.classes).items():
        found[f"prototype_recovery{suffix}"] = mean_rate(recovered[rows])
        found[f"within_class_cosine{suffix}"] = _cosine(test.where(rows))
    found["imprinted_accuracy"] = _imprinted(subject)
    return Findings(found)


def _imprinted(subject: Subject) -> MetricResult:
    forget = subject.forget_all
    retain, test = (Known(p.embedding, p.logits, p.labels) for p in (subject.retain_train, subject.forget_test))
    few = (forget.embedding, forget.labels)
    return mean_rate(imprinted_recovery(few, retain, test, shots=SHOTS, draws=DRAWS, seed=subject.seed))


def _parts(labels: NDArray[np.int64], classes: Sequence[int]) -> dict[str, NDArray[np.bool_]]:
    """Map the suffix of a metric's name to its rows: all rows, and each class if several are forgotten."""
    by_class = {f"/{c}": labels == c for c in classes} if len(classes) > 1 else {}
    return {"": np.ones(len(labels), dtype=np.bool_), **by_class}


def _cosine(test: Predictions) -> MetricResult:
    cosine, error = mean_cosine(test.embedding, test.labels)
    return MetricResult(cosine, len(test), cosine - 1.96 * error, cosine + 1.96 * error)


def _like_a_class(labels: np.ndarray, retain_labels: np.ndarray, seed: int) -> np.ndarray:
    """Return a mask of as many rows of each forgotten class as a retained class has; neighbours vote by number."""
    wanted = int(np.median(np.unique(retain_labels, return_counts=True)[1]))
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(labels), dtype=np.bool_)
    for own in np.unique(labels):
        (rows,) = np.nonzero(labels == own)
        mask[rng.choice(rows, min(len(rows), wanted), replace=False)] = True
    return mask
