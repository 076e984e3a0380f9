"""Image-text models: do images of what is forgotten still find one another?"""

from __future__ import annotations

import numpy as np

from cu_core.audit.queries import Gallery, Numbers, forgotten_and_searched, percent
from cu_core.audit.subject import Findings, Subject
from cu_core.data.order import EpochOrder
from cu_core.metrics.retrieval import blocks, r_precision
from cu_core.models.image_text import ImageTextClassifier
from cu_core.salts import Salt

MOST_QUERIES = 2000
"""Most images of each part that search, drawn at random."""


def image_search(subject: Subject) -> Findings:
    """Search by images for images of the same kind, and compute the R-precision (percent).

    ``image_search_precision`` is that of forgotten images, ``image_search_retain_precision`` that of retained ones.
    Class requests: unseen images of a class search for the others of it, in the whole test set. Sample requests: forget
    rows search for images with the same first caption, among forget rows and retained test images. An image does not
    find itself. A part is left out if none of its images has another to find.
    """
    if not isinstance(subject.model, ImageTextClassifier):
        return Findings({})
    forgotten, gallery = forgotten_and_searched(subject, among_retained=True)
    count = len(forgotten.keys_K)
    several = np.bincount(gallery.keys_K, minlength=1)[gallery.keys_K] > 1
    metrics = {}
    for part, first, last in (("", 0, count), ("retain_", count, len(gallery.keys_K))):
        rows = first + np.flatnonzero(several[first:last])
        if len(rows):
            drawn = rows[EpochOrder(len(rows), Salt.UNSEEN_ROWS).at(0, min(len(rows), MOST_QUERIES))]
            metrics[f"image_search_{part}precision"] = percent(_precisions(gallery, drawn), len(drawn))
    return Findings(metrics)


def _precisions(gallery: Gallery, rows: Numbers) -> np.ndarray:
    images_KD, keys_K = gallery.images_KD, gallery.keys_K
    parts = [rows[part] for part in blocks(len(rows), len(keys_K))]
    return np.concatenate([r_precision(images_KD[p], images_KD, keys_K[p, None] == keys_K, p) for p in parts])
