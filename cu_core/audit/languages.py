"""Image-text models: is the concept still found in another language than that of its captions?"""

from __future__ import annotations

from collections.abc import Sequence

from cu_core.audit.queries import Gallery, Query, forgotten_and_searched, percent, precisions
from cu_core.audit.subject import Findings, Subject
from cu_core.data.captioned_files import caption_column
from cu_core.data.forget_split import RowSet
from cu_core.data.order import EpochOrder
from cu_core.models.image_text import ImageTextClassifier
from cu_core.salts import Salt
from cu_core.types import MetricResult

MOST_RETAINED = 2000
"""Most captions of what is retained that are searched for in each language, drawn at random."""


def languages(subject: Subject) -> Findings:
    """Search by captions in ``audit.languages``, and compute the R-precision (percent); empty without such.

    ``language_precision/TAG`` is that of what is forgotten in one language, ``language_precision`` the mean over the
    languages in which it has captions. ``language_retain_precision`` is the mean for what is retained: if it is near 0
    for the original, its text tower does not know these languages, and the audit shows nothing.

    The captions are the first of each image in the column ``caption_TAG``. What is searched, and what matches, is as in
    the audit of wordings.
    """
    if not subject.config.languages or not isinstance(subject.model, ImageTextClassifier):
        return Findings({})
    split = subject.split
    forgotten, gallery = forgotten_and_searched(subject)
    is_class = split.forget.kind == "class"
    parts = [split.forget_test, split.retain_test] if is_class else [split.forget_reported]
    metrics: dict[str, MetricResult] = {}
    found: list[float] = []
    retained: list[float] = []
    for tag in subject.config.languages:
        texts = [text for part in parts for text in _first_captions(subject, part, tag)]
        own = _queries(texts, gallery, range(len(forgotten.keys_K)))
        if own:
            found.append(precisions(subject, own, gallery).mean().item())
            metrics[f"language_precision/{tag}"] = percent(found[-1:], len(forgotten.keys_K))
        others = _queries(texts, gallery, range(len(forgotten.keys_K), len(texts)))
        if others:
            drawn = EpochOrder(len(others), Salt.UNSEEN_ROWS).at(0, min(len(others), MOST_RETAINED))
            retained.append(precisions(subject, [others[i] for i in drawn], gallery).mean().item())
    if found:
        metrics["language_precision"] = percent(found, len(forgotten.keys_K))
    if retained:
        rows = len(gallery.keys_K) - len(forgotten.keys_K)
        metrics["language_retain_precision"] = percent(retained, rows)
    return Findings(metrics)


def _first_captions(subject: Subject, rows: RowSet, tag: str) -> list[str]:
    """Return the first caption of each row in a language; an empty text where there is none."""
    values = subject.split.reader.column(caption_column(tag), rows.rows, rows.split).to_pylist()
    return [
        (value if isinstance(value, str) else next(iter(value or ()), "")).strip() if value else "" for value in values
    ]


def _queries(texts: Sequence[str], gallery: Gallery, rows: range) -> list[Query]:
    return list(dict.fromkeys(Query(texts[row], int(gallery.keys_K[row])) for row in rows if texts[row]))
