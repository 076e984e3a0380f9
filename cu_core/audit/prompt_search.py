"""Image-text models: does any text, made of any tokens, still find what is forgotten?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cu_core.audit.queries import Gallery, Numbers, forgotten_and_searched, percent
from cu_core.audit.subject import Findings, Subject
from cu_core.audit.token_search import Vocabulary, search_tokens, vocabulary_of
from cu_core.data.order import EpochOrder
from cu_core.metrics.retrieval import r_precision
from cu_core.models.image_text import ImageTextClassifier
from cu_core.salts import Salt
from cu_core.types import MetricResult

MOST_CLASSES = 3
"""Most forgotten classes for which a text is searched, drawn at random."""
MOST_IMAGES = 1000
"""Most images of each part, of what is forgotten and of what is retained, by which a text is found."""
SHARPNESS = 20.0
"""Factor of cosines in the loss; the same for every model, whatever its own scale."""


@dataclass(frozen=True)
class _Images:
    """Images of what is forgotten and others, (N, D)."""

    own: NDArray[np.float32]
    others: NDArray[np.float32]

    def half(self, which: int) -> _Images:
        return _Images(*(_shuffled(x)[which::2] for x in (self.own, self.others)))

    def first(self, count: int) -> _Images:
        return _Images(self.own[:count], self.others[:count])


def prompt_search(subject: Subject) -> Findings:
    """Search for the tokens that best find what is forgotten, and compute what the text that they make finds.

    The search sees the weights (``search_tokens`` states its budget), and one half of the images. Its loss is the
    contrast of the text with the forgotten images of this half, against all of them. The figures are of the other half:
    ``prompt_search_precision`` is the R-precision (percent) of the best text found, ``prompt_search_margin`` its mean
    cosine with forgotten images minus that with retained ones. ``prompt_search_fit`` is the R-precision on the half by
    which it was found.

    Class requests: unseen images of a class against all other test images, mean over up to ``MOST_CLASSES`` classes.
    Sample requests: forget rows, and test images with one of their first captions, against all other test images.

    The findings are empty if the text tower has no embedding of tokens, or a half has no image.
    """
    model = subject.model
    if not isinstance(model, ImageTextClassifier):
        return Findings({})
    words = vocabulary_of(model)
    targets = [(start, images) for start, images in _targets(subject) if min(map(len, vars(images).values())) > 1]
    if words is None or not targets:
        return Findings({})
    with model.without_dropout():
        found = [_searched(subject, words, start, images) for start, images in targets]
    rows = sum(len(images.half(1).own) for _, images in targets)
    precision, margin, fit = np.mean(found, axis=0).tolist()
    return Findings(
        {
            "prompt_search_precision": percent([precision], rows),
            "prompt_search_margin": MetricResult(margin, rows),
            "prompt_search_fit": percent([fit], rows),
        }
    )


def _targets(subject: Subject) -> list[tuple[str, _Images]]:
    """Return, for each concept that is searched for, the text to begin with and its images."""
    forgotten, gallery = forgotten_and_searched(subject, among_retained=True)
    if not len(forgotten.keys_K):
        return []
    split, classes = subject.split, np.unique(forgotten.keys_K)
    if split.forget.kind == "sample":
        return [(forgotten.captions[0][0], _matching(gallery, classes))]
    drawn = classes[EpochOrder(len(classes), Salt.UNSEEN_ROWS).at(0, min(len(classes), MOST_CLASSES))]
    names = split.reader.manifest.class_names
    return [(names[c].replace("_", " "), _matching(gallery, drawn[[i]])) for i, c in enumerate(drawn.tolist())]


def _matching(gallery: Gallery, keys: Numbers) -> _Images:
    own = np.isin(gallery.keys_K, keys)
    return _Images(gallery.images_KD[own], gallery.images_KD[~own])


def _shuffled(images_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    return images_ND[EpochOrder(len(images_ND), Salt.PROMPT_SEARCH).at(0, len(images_ND))]


def _searched(subject: Subject, words: Vocabulary, start: str, images: _Images) -> tuple[float, float, float]:
    """Return (precision, margin, precision on the half by which the text was found)."""
    model = subject.model
    assert isinstance(model, ImageTextClassifier)
    fitted, measured = images.half(0).first(MOST_IMAGES), images.half(1)
    device, dtype = words.table.weight.device, words.table.weight.dtype
    images_ND = torch.from_numpy(np.concatenate([fitted.own, fitted.others])).to(device, dtype)

    def loss(texts_MD: Tensor) -> Tensor:
        cosine = SHARPNESS * texts_MD @ images_ND.T
        return cosine.logsumexp(1) - cosine[:, : len(fitted.own)].mean(1)

    tokens_L = search_tokens(model, words, loss, start, subject.seed + Salt.PROMPT_SEARCH)
    with torch.no_grad():
        text_D = model.body.texts(tokens_L[None])[0].float().cpu().numpy()
    margin = float((measured.own @ text_D).mean() - (measured.others @ text_D).mean())
    return _precision(text_D, measured), margin, _precision(text_D, fitted)


def _precision(text_D: NDArray[np.float32], images: _Images) -> float:
    is_own = np.arange(len(images.own) + len(images.others)) < len(images.own)
    return float(r_precision(text_D[None], np.concatenate([images.own, images.others]), is_own[None])[0])
