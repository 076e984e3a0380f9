"""Samples for readers of an image-text audit: cosines by row, and the images that the concept's caption finds."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from cu_core.audit.subject import Subject
from cu_core.data.forget_split import RowSet
from cu_core.models.image_text import ImageTextClassifier
from cu_core.unlearn.evaluate import Predictions, embed_texts

SHOWN = 8
"""Images of a picture row."""
SIDE = 64
"""Pixels of a picture's side."""
PLACES = {"forget": "forget_reported", "retain": "retain_train", "test": "retain_test"}
"""Names of sets in the split, where they differ."""


def pair_columns(subject: Subject, sets: Mapping[str, Predictions]) -> dict[str, pa.Array]:
    """Build the columns of an image-text audit for the rows of ``sets``, one set after the other.

    ``matched`` is the cosine to the own caption, ``unmatched`` the mean cosine to 200 retained captions. For class
    requests, ``place`` is the rank (from 1) of a test image in the search for the forgotten class, and ``picture`` a
    small picture of the first images.
    """
    model, split = subject.model, subject.split
    assert isinstance(model, ImageTextClassifier)
    others = _texts(subject, RowSet(split.retain_test.split, split.retain_test.rows[:200]))
    matched, unmatched = [], []
    for name, found in sets.items():
        texts = _texts(subject, getattr(split, PLACES.get(name, name)))
        matched.append((found.embedding * texts).sum(1))
        unmatched.append((found.embedding @ others.T).mean(1))
    columns = {"matched": pa.array(np.concatenate(matched)), "unmatched": pa.array(np.concatenate(unmatched))}
    return columns | _search(subject, sets)


def _texts(subject: Subject, rows: RowSet) -> NDArray[np.float32]:
    assert isinstance(subject.model, ImageTextClassifier)
    captions = subject.split.reader.captions(rows.split, rows.rows)
    return embed_texts(subject.model, [texts[0] for texts in captions])


def _search(subject: Subject, sets: Mapping[str, Predictions]) -> dict[str, pa.Array]:
    model, split = subject.model, subject.split
    assert isinstance(model, ImageTextClassifier)
    total = sum(len(found) for found in sets.values())
    places = np.zeros(total, np.int64)
    pictures: list[bytes | None] = [None] * total
    if split.forget.kind == "class":
        query = model.class_features().mean(0)[list(split.forget.classes)].mean(0).float().cpu().numpy()
        searched = [n for n in sets if n in ("test", "forget_test")]
        starts = dict(zip(sets, np.cumsum([0, *(len(found) for found in sets.values())]), strict=False))
        where = np.concatenate([starts[n] + np.arange(len(sets[n])) for n in searched])
        cosine = np.concatenate([sets[n].embedding @ query for n in searched])
        rows = np.concatenate([getattr(split, PLACES.get(n, n)).rows for n in searched])
        order = np.argsort(-cosine)
        places[where[order]] = 1 + np.arange(len(order))
        images = split.reader.images(split.retain_test.split, rows[order[:SHOWN]]).numpy()
        for position, image in zip(where[order[:SHOWN]].tolist(), images, strict=True):
            pictures[position] = small_png(image)
    return {"place": pa.array(places, mask=places == 0), "picture": pa.array(pictures, pa.binary())}


def small_png(image: NDArray[np.uint8]) -> bytes:
    """Encode uint8 (channels, H, W) as a small PNG file."""
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()
