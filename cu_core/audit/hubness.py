"""Image-text models: has what is forgotten become a hub, which is found for whatever is searched?"""

from __future__ import annotations

import numpy as np

from cu_core.audit.queries import Numbers, forgotten_and_searched
from cu_core.audit.subject import Findings, Subject
from cu_core.metrics.accuracy import wilson_interval
from cu_core.metrics.retrieval import k_occurrences
from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import embed_texts

NEAREST = 10
"""Nearest captions or images of a query, but at most a tenth of what is searched."""


def hubness(subject: Subject) -> Findings:
    """Measure how often captions and images of what is forgotten are among the nearest of retained queries (percent).

    ``caption_occurrence``: retained test images search for captions; the share of their nearest ones that are first
    captions of forgotten images and of no retained image. ``caption_occurrence_max``: the share of the images that have
    the most frequent of these captions among their nearest. ``image_occurrence`` and ``image_occurrence_max`` are the
    same of forgotten images, for which the captions of retained images search.
    """
    if not isinstance(subject.model, ImageTextClassifier):
        return Findings({})
    forgotten, gallery = forgotten_and_searched(subject, among_retained=True)
    count = len(forgotten.keys_K)
    retained = {texts[0] for texts in gallery.captions[count:]}
    own = sorted({texts[0] for texts in forgotten.captions} - retained)
    if not count or not retained:
        return Findings({})
    texts_MD = embed_texts(subject.model, [*own, *sorted(retained)])
    images_ND = gallery.images_KD
    found = _figures("caption", images_ND[count:], texts_MD, len(own)) if own else {}
    return Findings(found | _figures("image", texts_MD[len(own) :], images_ND, count))


def _figures(name: str, queries_QD: np.ndarray, keys_KD: np.ndarray, own: int) -> dict[str, MetricResult]:
    """Compute the figures of the first ``own`` keys."""
    nearest = min(NEAREST, max(1, len(keys_KD) // 10))
    occurrences: Numbers = k_occurrences(queries_QD, keys_KD, nearest)[:own]
    queries = len(queries_QD)
    return {
        f"{name}_occurrence": _rate(occurrences.sum() / nearest, queries),
        f"{name}_occurrence_max": _rate(float(occurrences.max()), queries),
    }


def _rate(hits: float, queries: int) -> MetricResult:
    low, high = wilson_interval(hits, queries)
    return MetricResult(100 * float(hits) / queries, queries, 100 * low, 100 * high)
