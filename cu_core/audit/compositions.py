"""Image-text models: is an image that shows a forgotten and another concept still found by the other one?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cu_core.audit.queries import Gallery, Numbers, forgotten_and_searched, percent
from cu_core.audit.subject import Findings, Subject
from cu_core.data.concepts import WORD, folded
from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import MetricResult

Names = Mapping[tuple[str, ...], int]


def compositions(subject: Subject) -> Findings:
    """Search for test images that have a caption which names a forgotten class and another one; percent.

    ``composition_found``: the prompt of the other class searches the whole test set; the share of these images among
    its R nearest, where R is the number of test images whose captions name that class. ``composition_forgotten_found``:
    the same by the prompt of the forgotten class. A class is named by its whole words, and the longest name counts:
    "guide dog" does not name "dog".

    The findings are empty if no test image has such a caption.
    """
    if not isinstance(subject.model, ImageTextClassifier):
        return Findings({})
    _, gallery = forgotten_and_searched(subject)
    names = {_words(name): c for c, name in enumerate(subject.split.reader.manifest.class_names)}
    forgotten = {*subject.split.forget.classes}
    said = [[named(text, names) for text in texts] for texts in gallery.captions]
    composed = [{c for one in texts if one & forgotten and one - forgotten for c in one} for texts in said]
    of_image = [set[int]().union(*texts) for texts in said]
    prompts_CD = subject.model.class_features().mean(0).float().cpu().numpy()
    metrics = {}
    for name, classes in (("found", _all(composed) - forgotten), ("forgotten_found", _all(composed) & forgotten)):
        hits = [_found(prompts_CD[c], gallery, _with(c, of_image), _with(c, composed)) for c in sorted(classes)]
        if hits:
            metrics[f"composition_{name}"] = _share(np.concatenate(hits))
    return Findings(metrics)


def named(text: str, names: Names) -> set[int]:
    """Return the classes that a text names, the longest name at each word.

    Args:
        text: A caption.
        names: Words of a name -> class.
    """
    words, found, place = _words(text), set(), 0
    longest = max(map(len, names), default=0)
    while place < len(words):
        lengths = range(min(longest, len(words) - place), 0, -1)
        length = next((n for n in lengths if words[place : place + n] in names), 0)
        if length:
            found.add(names[words[place : place + length]])
        place += max(length, 1)
    return found


def _words(text: str) -> tuple[str, ...]:
    return tuple(WORD.findall(folded(text.replace("_", " "))))


def _all(sets: Iterable[set[int]]) -> set[int]:
    return set[int]().union(*sets)


def _with(label: int, sets: Sequence[set[int]]) -> Numbers:
    return np.flatnonzero([label in one for one in sets])


def _found(prompt_D: NDArray[np.float32], gallery: Gallery, own: Numbers, composed: Numbers) -> NDArray[np.bool_]:
    """Return whether each composed image is among the nearest of a prompt, as many as images of its class."""
    order = np.argsort(-(gallery.images_KD @ prompt_D), kind="stable")
    return np.isin(composed, order[: len(own)])


def _share(hits: NDArray[np.bool_]) -> MetricResult:
    return percent(hits.astype(np.float64), len(hits))
