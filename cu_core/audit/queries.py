"""Image-text models: how precisely texts find the images that they are about. Q texts, K images, D embedding width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cu_core.audit.subject import AuditConfig, Subject
from cu_core.data.arrow_types import is_texts
from cu_core.data.captioned_files import caption_column
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import UserError
from cu_core.metrics.accuracy import wilson_interval
from cu_core.metrics.retrieval import blocks, r_precision
from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import embed_texts

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Query:
    """A text, and the number of the images that it must find."""

    text: str
    key: int


@dataclass(frozen=True)
class Gallery:
    """Images that are searched."""

    images_KD: NDArray[np.float32]
    keys_K: Numbers
    """What makes an image match a query: the class, or of sample requests the number of its first caption."""
    captions: Sequence[Sequence[str]]
    """Captions of each image."""


def check_columns(config: AuditConfig, reader: ShardReader) -> None:
    """Check that the data have the columns that the audits of languages and of styles read.

    Raises:
        UserError: One is missing, or does not hold texts.
    """
    style = {config.style_column: "audit.style_column"} if config.style_column is not None else {}
    for name, setting in {**{caption_column(tag): "audit.languages" for tag in config.languages}, **style}.items():
        if name not in reader.manifest.extra_columns:
            columns = ", ".join(reader.manifest.extra_columns) or "none"
            raise UserError(f"{setting}: {reader.folder} has no column {name!r}; its columns: {columns}.")
        kind = reader.schema.field(name).type
        if name not in style and not is_texts(kind):
            raise UserError(f"{setting}: column {name!r} must hold texts or lists of texts, not {kind}.")


def forgotten_and_searched(subject: Subject, among_retained: bool = False) -> tuple[Gallery, Gallery]:
    """Return the forgotten images, and all images that are searched for them; the forgotten ones are its first.

    Class requests: unseen images of the forgotten classes, in the whole test set. Sample requests: forget rows that did
    not influence when to stop, among themselves, or ``among_retained`` test images too.
    """
    split = subject.split
    is_class = split.forget.kind == "class"
    rows = [split.forget_test if is_class else split.forget_reported]
    found = [subject.forget_test if is_class else subject.forget_train]
    if is_class or among_retained:
        rows, found = [*rows, split.retain_test], [*found, subject.retain_test]
    captions = [texts for part in rows for texts in split.reader.captions(part.split, part.rows)]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts[0] for texts in captions))}
    keys = (
        np.concatenate([part.labels for part in found])
        if is_class
        else np.array([numbers[texts[0]] for texts in captions], np.int64)
    )
    images = np.concatenate([part.embedding for part in found])
    count = len(found[0])
    return Gallery(images[:count], keys[:count], captions[:count]), Gallery(images, keys, captions)


def precisions(subject: Subject, queries: Sequence[Query], gallery: Gallery) -> NDArray[np.float64]:
    """Compute the R-precision of each query, 0 to 1, (Q,); in blocks of bounded memory.

    Args:
        subject: Gives the model that embeds the texts.
        queries: The queries; each must match an image.
        gallery: The images.

    Returns:
        (Q,).
    """
    if not queries:
        return np.zeros(0)
    assert isinstance(subject.model, ImageTextClassifier)
    texts_QD = embed_texts(subject.model, [query.text for query in queries])
    keys_Q = np.array([query.key for query in queries], np.int64)
    parts = blocks(len(queries), len(gallery.keys_K))
    found = [r_precision(texts_QD[b], gallery.images_KD, keys_Q[b, None] == gallery.keys_K) for b in parts]
    return np.concatenate(found)


def percent(rates: Sequence[float] | NDArray[np.float64], rows: int) -> MetricResult:
    """Return the mean of rates in percent, with the interval of that many independent rows."""
    mean = float(np.mean(rates))
    low, high = wilson_interval(mean * rows, rows)
    return MetricResult(100 * mean, rows, 100 * low, 100 * high)
