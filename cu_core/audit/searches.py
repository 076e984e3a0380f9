"""Samples for readers: what captions and images find in a model, as rows with small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cu_core.audit.pair_samples import small_png
from cu_core.audit.subject import Subject
from cu_core.data.concepts import WORD, folded
from cu_core.data.forget_split import RowSet
from cu_core.data.order import EpochOrder
from cu_core.models.image_text import ImageTextClassifier
from cu_core.salts import Salt
from cu_core.unlearn.evaluate import embed_texts

QUERIES = 3
"""Captions that are searched for, of each of the kinds."""
TOP = 5
"""Images that are shown for a caption, and captions for an image."""
GALLERY = 2000
"""Most images that are searched, beside the forgotten ones; also most captions."""
KINDS = ("forgotten", "neighbouring", "retained")
Texts = Sequence[Sequence[str]]


@dataclass(frozen=True)
class _Gallery:
    """N images with their captions."""

    sets: list[tuple[RowSet, NDArray[np.float32]]]
    captions: Texts
    is_forgotten: NDArray[np.bool_]

    @property
    def images_ND(self) -> NDArray[np.float32]:
        return np.concatenate([embedding for _, embedding in self.sets])

    def picture(self, subject: Subject, row: int) -> bytes:
        """Return a small picture of the image of a row."""
        for rows, _ in self.sets:
            if row < len(rows):
                return small_png(subject.split.reader.images(rows.split, rows.rows[row : row + 1]).numpy()[0])
            row -= len(rows)
        raise IndexError(row)


def search_rows(role: str, subject: Subject) -> pa.Table:
    """Build a row for each answer to some searches, of set ``search``.

    The searches depend on the data alone, so that models can be compared: up to ``QUERIES`` captions that are
    forgotten, that are retained and share the most captions or words with those (``neighbouring``), and that are drawn
    from the rest. Each searches for images, and an image of it for captions.

    Columns: ``search`` (the kind), ``finds`` (``images`` or ``captions``), ``query`` and ``query_thumb``, ``rank``
    from 1, ``answer`` (a caption), ``thumb`` (of images), ``hit`` (whether it has the caption).
    """
    assert isinstance(subject.model, ImageTextClassifier)
    gallery = _gallery(subject)
    names = list(dict.fromkeys(texts[0] for texts in gallery.captions))[: 2 * GALLERY]
    images_ND, texts_MD = gallery.images_ND, embed_texts(subject.model, names)
    rows: list[dict[str, Any]] = []
    for kind, places in zip(KINDS, _queries(gallery), strict=True):
        for place in places:
            own = gallery.captions[place][0]
            asked = {"search": kind, "query": own, "query_thumb": gallery.picture(subject, place)}
            nearest = np.argsort(-(images_ND @ texts_MD[names.index(own)]), kind="stable")[:TOP].tolist()
            for rank, found in enumerate(nearest, 1):
                text, thumb = gallery.captions[found][0], gallery.picture(subject, found)
                rows.append({**asked, "finds": "images", "rank": rank, "answer": text, "thumb": thumb})
            nearest = np.argsort(-(texts_MD @ images_ND[place]), kind="stable")[:TOP].tolist()
            rows += [
                {**asked, "finds": "captions", "rank": rank, "answer": names[found], "thumb": None}
                for rank, found in enumerate(nearest, 1)
            ]
    shared = {"role": role, "set": "search", "sample_id": -1 - subject.model.prompts.shape[1], "label": -1}
    return pa.Table.from_pylist([{**shared, **row, "hit": row["answer"] == row["query"]} for row in rows], SCHEMA)


SCHEMA = pa.schema(
    [("role", pa.string()), ("set", pa.string()), ("sample_id", pa.int64()), ("label", pa.int64()),
     ("search", pa.string()), ("finds", pa.string()), ("query", pa.string()), ("query_thumb", pa.binary()),
     ("rank", pa.int64()), ("answer", pa.string()), ("thumb", pa.binary()), ("hit", pa.bool_())]
)  # fmt: skip


def _gallery(subject: Subject) -> _Gallery:
    """Return forgotten images (of sample requests: forget rows) and test images of what is retained."""
    split = subject.split
    if split.forget.kind == "class":
        forgotten = split.forget_test, subject.forget_test.embedding
    else:
        forgotten = split.forget_reported, subject.forget_train.embedding
    retained = split.retain_test, subject.retain_test.embedding
    sets = [(RowSet(r.split, r.rows[:GALLERY]), np.asarray(e[:GALLERY])) for r, e in (forgotten, retained)]
    captions = [texts for rows, _ in sets for texts in split.reader.captions(rows.split, rows.rows)]
    return _Gallery(sets, captions, np.arange(len(captions)) < len(sets[0][0]))


def _queries(gallery: _Gallery) -> list[list[int]]:
    """Return rows whose first captions are the queries, for each of ``KINDS``; no caption twice."""
    first = {texts[0]: row for row, texts in reversed(list(enumerate(gallery.captions)))}
    rows = sorted(first.values())
    forgotten = [row for row in rows if gallery.is_forgotten[row]]
    names = {gallery.captions[row][0] for row in forgotten}
    others = [row for row in rows if not gallery.is_forgotten[row] and gallery.captions[row][0] not in names]
    said = {part for row in forgotten for part in _parts(gallery.captions[row])}
    shared = {row: len(said & _parts(gallery.captions[row])) for row in others}
    near = sorted((row for row in others if shared[row]), key=lambda row: (-shared[row], row))[:QUERIES]
    rest = [row for row in others if row not in near]
    drawn = EpochOrder(len(rest), Salt.UNSEEN_ROWS).at(0, min(len(rest), QUERIES)).tolist() if rest else []
    return [forgotten[:QUERIES], near, [rest[place] for place in drawn]]


def _parts(texts: Sequence[str]) -> set[str]:
    """Return captions and their words of four letters or more."""
    plain = [folded(text) for text in texts]
    return {*plain, *(word for text in plain for word in WORD.findall(text) if len(word) > 3)}
