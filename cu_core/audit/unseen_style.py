"""Image-text models: is the concept still recognised in images of a style that no training row has?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cu_core.audit.queries import Gallery, percent
from cu_core.audit.subject import Findings, Subject
from cu_core.data.order import Rows
from cu_core.data.shard_reader import ShardReader
from cu_core.metrics.accuracy import accuracy
from cu_core.metrics.retrieval import blocks, r_precision
from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import Predictions, joined

ROWS_AT_ONCE = 2**16


def unseen_style(subject: Subject) -> Findings:
    """Measure what is recognised in test images whose value of ``audit.style_column`` no training row has.

    ``unseen_style_accuracy`` is the zero-shot accuracy on such images of what is forgotten,
    ``unseen_style_precision`` the R-precision with which the prompts of its classes find them among all such images;
    ``unseen_style_retain_accuracy`` and ``..._retain_precision`` are those of the other images. Sample requests: an
    image is of what is forgotten if the request names all training rows of its class.

    The findings are empty without the setting, and the first or last two if there are no such images.
    """
    name = subject.config.style_column
    if name is None or not isinstance(subject.model, ImageTextClassifier):
        return Findings({})
    split = subject.split
    seen = values_in_training(split.reader, name)
    parts = [(split.retain_test, subject.retain_test)]
    if split.forget.kind == "class":
        parts.append((split.forget_test, subject.forget_test))
    kept = []
    for rows, found in parts:
        values = split.reader.column(name, rows.rows, rows.split).to_pylist()
        kept.append(found.where(np.array([value not in seen for value in values], np.bool_)))
    return Findings(_figures(subject, joined(kept)))


def values_in_training(reader: ShardReader, name: str) -> set[object]:
    """Return the values of a column in the training rows."""
    found: set[object] = set()
    for first in range(0, reader.num_rows("train"), ROWS_AT_ONCE):
        rows = np.arange(first, min(first + ROWS_AT_ONCE, reader.num_rows("train")))
        found.update(reader.column(name, rows).unique().to_pylist())
    return found


def _figures(subject: Subject, found: Predictions) -> dict[str, MetricResult]:
    assert isinstance(subject.model, ImageTextClassifier)
    is_forgotten = np.isin(found.labels, _forgotten_classes(subject))
    prompts_CD = subject.model.class_features().mean(0).float().cpu().numpy()
    gallery = Gallery(found.embedding, found.labels, ())
    metrics = {}
    for part, rows in (("", is_forgotten), ("retain_", ~is_forgotten)):
        if rows.any():
            classes = np.unique(found.labels[rows])
            rates = np.concatenate(
                [_precision(prompts_CD, classes[b], gallery) for b in blocks(len(classes), len(rows))]
            )
            metrics[f"unseen_style_{part}accuracy"] = accuracy(found.correct[rows])
            metrics[f"unseen_style_{part}precision"] = percent(rates, int(rows.sum()))
    return metrics


def _precision(prompts_CD: NDArray[np.float32], classes: Rows, gallery: Gallery) -> NDArray[np.float64]:
    return r_precision(prompts_CD[classes], gallery.images_KD, classes[:, None] == gallery.keys_K)


def _forgotten_classes(subject: Subject) -> Rows:
    """Return the classes of which the request names all training rows."""
    forget, reader = subject.split.forget, subject.split.reader
    if forget.kind == "class":
        return np.array(forget.classes, np.int64)
    labels, counts = np.unique(reader.labels("train", forget.rows), return_counts=True)
    totals = np.unique(reader.labels("train", reader.integers_in("label", labels)), return_counts=True)[1]
    return np.asarray(labels[totals == counts], np.int64)
