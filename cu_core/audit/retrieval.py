"""Image-text models: is the concept still found by search, in any wording, or has its caption become a hub?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cu_core.audit.subject import Findings, Subject
from cu_core.audit.zero_shot import zero_shot
from cu_core.metrics.accuracy import accuracy, wilson_interval
from cu_core.metrics.membership import attack_auc, auc_interval, class_match_weights
from cu_core.metrics.retrieval import Features, blocks, found_within, r_precision
from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import Predictions, embed_texts

Numbers = NDArray[np.int64]
TOPS = (1, 5, 10)
UNSEEN = ("unseen_i2t_r1", "unseen_t2i_r1")


@dataclass(frozen=True)
class Pairs:
    """N rows of a set with their first captions."""

    rows: Predictions
    texts: NDArray[np.float32]
    """(N, D)."""
    keys: NDArray[np.int64]
    """(N,): what makes a caption and an image match: the class, or without classes the caption itself."""
    captions: NDArray[np.int64]
    """(N,): number of the caption, the same for the same words."""


def retrieval(subject: Subject) -> Findings:
    """Measure whether search still finds what is forgotten; empty for models other than image-text models.

    Recall at 1, 5 and 10 (percent), image to caption and caption to image, and the precision of the latter, of what is
    forgotten and of what is retained. Also the mean cosine of matched pairs minus that of unmatched ones, how well it
    separates forget rows from holdout rows, and the figures of ``zero_shot``.

    Class requests: the queries are unseen rows, and the whole test set is searched. A match is a pair of the same
    class. Sample requests: forget rows that did not influence when to stop are searched among themselves, and so are as
    many retain rows and as many unseen rows. A match is a pair with the same caption.
    """
    if not isinstance(subject.model, ImageTextClassifier):
        return Findings({})
    is_class = subject.split.forget.kind == "class"
    if is_class:
        forget, retain = _pairs(subject, [("forget_test", None), ("retain_test", None)])
        gallery = [forget, retain]
        found = _recalls("forget", forget, gallery) | _recalls("retain", retain, gallery)
    else:
        count = len(subject.split.forget_reported)
        forget, retain, unseen = _pairs(subject, [(n, count) for n in ("forget_train", "retain_train", "holdout")])
        found = _recalls("forget", forget, [forget]) | _recalls("retain", retain, [retain])
        found |= {name: value for name, value in _recalls("unseen", unseen, [unseen]).items() if name in UNSEEN}
    found |= zero_shot(subject)
    margin = _margins(forget, retain)
    half = 1.96 * float(margin.std(ddof=1)) / np.sqrt(len(margin)) if len(margin) > 1 else 2.0
    mean = float(margin.mean())
    found["forget_margin"] = MetricResult(mean, len(margin), mean - half, mean + half)
    if (attack := _attack(subject, retain)) is not None:
        found["mia_cosine_auc"] = attack
    return Findings(found)


def _pairs(subject: Subject, names: list[tuple[str, int | None]]) -> list[Pairs]:
    """Return sets of the subject, with at most the given number of rows of each."""
    model, split = subject.model, subject.split
    assert isinstance(model, ImageTextClassifier)
    places = {"forget_train": "forget_reported"}
    numbers: dict[str, int] = {}
    made = []
    for name, most in names:
        rows, stored = getattr(subject, name), getattr(split, places.get(name, name))
        kept = np.arange(len(rows)) < (most or len(rows))
        captions = [texts[0] for texts in split.reader.captions(stored.split, stored.rows[kept])]
        own = np.array([numbers.setdefault(text, len(numbers)) for text in captions], np.int64)
        by_class = split.forget.kind == "class"
        rows = rows.where(kept)
        made.append(Pairs(rows, embed_texts(model, captions), rows.labels if by_class else own, own))
    return made


def _recalls(name: str, queries: Pairs, gallery: list[Pairs]) -> dict[str, MetricResult]:
    images, texts, keys, captions = (
        np.concatenate(column)
        for column in zip(*((p.rows.embedding, p.texts, p.keys, p.captions) for p in gallery), strict=True)
    )
    _, first = np.unique(captions, return_index=True)
    _, own = np.unique(queries.captions, return_index=True)
    parts = [own[b] for b in blocks(len(own), len(keys))]
    precise = [r_precision(queries.texts[part], images, queries.keys[part, None] == keys) for part in parts]
    share = float(np.concatenate(precise).mean())
    low, high = wilson_interval(round(share * len(queries.rows)), len(queries.rows))
    found = {f"{name}_t2i_precision": MetricResult(100 * share, len(queries.rows), 100 * low, 100 * high)}
    for top in TOPS:
        to_text = _found(queries.rows.embedding, texts[first], queries.keys, keys[first], top)
        to_image = _found(queries.texts[own], images, queries.keys[own], keys, top)
        found |= {f"{name}_i2t_r{top}": accuracy(to_text), f"{name}_t2i_r{top}": accuracy(to_image)}
    return found


def _found(queries_QD: Features, keys_KD: Features, own_Q: Numbers, all_K: Numbers, top: int) -> NDArray[np.bool_]:
    """Return whether each query finds one of the keys with its number among the ``top`` nearest, (Q,)."""
    parts = blocks(len(queries_QD), len(keys_KD))
    return np.concatenate([found_within(queries_QD[b], keys_KD, own_Q[b, None] == all_K, top) for b in parts])


def _margins(pairs: Pairs, retain: Pairs) -> NDArray[np.float64]:
    """Compute the cosine of each pair minus the mean of its image with retained captions, (N,)."""
    matched = (pairs.rows.embedding * pairs.texts).sum(1)
    parts = blocks(len(matched), len(retain.texts))
    unmatched = np.concatenate([(pairs.rows.embedding[b] @ retain.texts.T).mean(1) for b in parts])
    return (matched - unmatched).astype(np.float64)  # type: ignore[no-any-return]


def _attack(subject: Subject, retain: Pairs) -> MetricResult | None:
    """Compute the AUC of a threshold on the margin, forget rows against holdout rows of the same classes, if any."""
    members, others = _pairs(subject, [("forget_train", None), ("holdout", None)])
    weights = class_match_weights(others.rows.labels, members.rows.labels)
    if not weights.any():
        return None
    auc = attack_auc(_margins(members, retain), _margins(others, retain), weights)
    matched = int((weights > 0).sum())
    return MetricResult(auc, len(members.rows) + matched, *auc_interval(auc, len(members.rows), matched))
