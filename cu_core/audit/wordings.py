"""Image-text models: is the concept still found in words other than those of its prompt?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cu_core.audit.queries import Gallery, Query, forgotten_and_searched, percent, precisions
from cu_core.audit.subject import Findings, Subject
from cu_core.data.concepts import WORD, folded
from cu_core.data.forget_split import RowSet
from cu_core.data.order import EpochOrder
from cu_core.models.image_text import ImageTextClassifier
from cu_core.salts import Salt

TEMPLATES = (
    "{}",
    "a drawing of {}.",
    "this picture shows {}",
    "one {}, seen from the side",
    "{} on a plain background",
)
KINDS = ("template", "plural", "misspelling", "synonym")
MOST_SYNONYMS = 40
"""Most captions of a class that are taken as other wordings of it, the most frequent ones."""
MOST_CAPTIONS = 300
"""Most first captions of a sample request that are reworded, drawn at random."""
HISSING = ("s", "x", "z", "ch", "sh")


def wordings(subject: Subject) -> Findings:
    """Search for what is forgotten in other words, and compute the R-precision (percent); empty without captions.

    ``wording_template``, ``wording_plural``, ``wording_misspelling`` and ``wording_synonym`` are means over the texts
    of a kind, ``wording_precision`` over all. ``wording_best`` is the precision of the most telling text of each class
    (sample requests: of each first caption).

    Class requests: the texts say the name of the class in another sentence, as a regular English plural, and
    misspelled. Synonyms are ``audit.paraphrases`` and captions of forget rows that lack the name and that no measured
    retain row has. Sample requests: the texts are made from the first caption of a row; synonyms are its other
    captions.
    """
    if not isinstance(subject.model, ImageTextClassifier):
        return Findings({})
    forgotten, gallery = forgotten_and_searched(subject)
    if not len(forgotten.keys_K):
        return Findings({})
    is_class = subject.split.forget.kind == "class"
    by_kind = _of_classes(subject, forgotten) if is_class else _of_captions(forgotten)
    asked = [(kind, query) for kind in KINDS for query in dict.fromkeys(by_kind[kind])]
    found = precisions(subject, [query for _, query in asked], gallery)
    rows, kinds = len(forgotten.keys_K), np.array([kind for kind, _ in asked])
    keys = np.array([query.key for _, query in asked])
    best = np.array([found[keys == key].max() for key in np.unique(keys)])
    metrics = {"wording_precision": percent(found, rows), "wording_best": percent(best, rows)}
    metrics |= {f"wording_{kind}": percent(found[kinds == kind], rows) for kind in KINDS if (kinds == kind).any()}
    return Findings(metrics)


def rewritten(text: str, plural: bool) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) for each way in which a name or caption is written otherwise.

    Args:
        text: The name or caption.
        plural: Whether it is a name, which has a plural.
    """
    yield from (("template", template.format(text)) for template in TEMPLATES)
    if plural:
        yield "plural", pluralised(text)
    yield from (("misspelling", wrong) for wrong in misspelled(text))


def pluralised(name: str) -> str:
    """Return the regular English plural of a name."""
    if name.lower().endswith(HISSING):
        return f"{name}es"
    ends_in_y = len(name) > 1 and name[-1].lower() == "y" and name[-2].lower() not in "aeiou"
    return f"{name[:-1]}ies" if ends_in_y else f"{name}s"


def misspelled(text: str) -> list[str]:
    """Return a text with two letters in the middle of its longest word swapped, one left out, and one doubled.

    It is empty if no word has four letters.
    """
    longest = max(WORD.finditer(text), key=lambda match: len(match[0]), default=None)
    if longest is None or len(longest[0]) < 4:
        return []
    place = longest.start() + len(longest[0]) // 2
    before, one, other, after = text[: place - 1], text[place - 1], text[place], text[place + 1 :]
    swapped = [f"{before}{other}{one}{after}"] if one != other else []
    return [*swapped, f"{before}{one}{after}", f"{before}{one}{one}{other}{after}"]


def _of_classes(subject: Subject, forgotten: Gallery) -> Mapping[str, list[Query]]:
    names = subject.split.reader.manifest.class_names
    found: dict[str, list[Query]] = {kind: [] for kind in KINDS}
    captions = _own_captions(subject)
    for number in np.unique(forgotten.keys_K).tolist():
        name = names[number].replace("_", " ")
        for kind, text in rewritten(name, plural=True):
            found[kind].append(Query(text, number))
        synonyms = [text for text in captions.get(number, ()) if folded(name) not in folded(text)]
        found["synonym"] += [Query(text, number) for text in (*subject.config.paraphrases, *synonyms)]
    return found


def _own_captions(subject: Subject) -> dict[int, list[str]]:
    """Return the captions of the forget rows of each class that no measured retain row has, the most frequent first."""
    split = subject.split
    shared = {folded(text) for texts in _captions(subject, split.retain_train) for text in texts}
    rows = split.forget_reported
    counts: dict[int, Counter[str]] = {}
    for label, texts in zip(split.reader.labels(rows.split, rows.rows).tolist(), _captions(subject, rows), strict=True):
        counts.setdefault(label, Counter()).update(text for text in texts if folded(text) not in shared)
    ordered = {label: sorted(counted, key=lambda t: (-counted[t], t)) for label, counted in counts.items()}
    return {label: texts[:MOST_SYNONYMS] for label, texts in ordered.items()}


def _captions(subject: Subject, rows: RowSet) -> Sequence[Sequence[str]]:
    return subject.split.reader.captions(rows.split, rows.rows)


def _of_captions(forgotten: Gallery) -> Mapping[str, list[Query]]:
    found: dict[str, list[Query]] = {kind: [] for kind in KINDS}
    keys = np.unique(forgotten.keys_K)
    drawn = keys[EpochOrder(len(keys), Salt.UNSEEN_ROWS).at(0, min(len(keys), MOST_CAPTIONS))]
    for row in np.flatnonzero(np.isin(forgotten.keys_K, drawn)).tolist():
        key, texts = int(forgotten.keys_K[row]), forgotten.captions[row]
        for kind, text in rewritten(texts[0], plural=False):
            found[kind].append(Query(text, key))
        found["synonym"] += [Query(text, key) for text in texts[1:]]
    return found
