"""Forget requests by concept: a class name, or words matched in captions; with what nearly matched."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cu_core.data.copies_setting import CopiesSetting
from cu_core.data.order import Rows
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import UserError
from cu_core.messages import shown_value
from cu_core.types import Tokenize

ROWS_AT_ONCE = 8192
UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[\U00020000-\U0003ffff]"
)
"""Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, which are written without spaces between words."""
WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


@dataclass(frozen=True, kw_only=True)
class ByConcept(CopiesSetting):
    """Training rows of a class of this name, and those with a caption that names the concept."""

    kind: Literal["by_concept"] = "by_concept"
    concept: str
    """Class name, or a word or phrase of captions; case and the form of accents do not matter, whole words do."""
    synonyms: tuple[str, ...] = ()
    """Further words and phrases, plurals too: ``[puppy, dogs]``."""

    def __post_init__(self) -> None:
        if wordless := [p for p in self.phrases if not WORD.search(p)]:
            raise UserError(f"concept and synonyms must each hold a word, got {shown_value(wordless[0])}")

    @property
    def phrases(self) -> tuple[str, ...]:
        """The concept and its synonyms."""
        return (self.concept, *self.synonyms)

    @property
    def pattern(self) -> re.Pattern[str]:
        """Pattern that matches any phrase in a folded text, with any white space between the words.

        A phrase is whole words, except at a letter of a script that has no spaces between words.
        """
        return re.compile("|".join(_whole_words(folded(p)) for p in self.phrases))


@dataclass(frozen=True)
class ConceptReport:
    """What a concept matched, to be checked before a run."""

    of_class: int
    """Training rows whose class has the concept's name."""
    by_caption: int
    """Training rows with a caption that names it."""
    rows: Rows
    """Both together, ascending."""
    examples: tuple[str, ...]
    """Different captions that matched, the first ones."""
    near_misses: tuple[tuple[str, int], ...]
    """Words of other captions that contain or resemble a word of the concept, and in how many captions."""
    unread: int = 0
    """Rows that name it only in words after the tokenizer's limit."""

    @property
    def near(self) -> str:
        """The near misses as one text."""
        return ", ".join(f"{word} ({count})" for word, count in self.near_misses)

    @property
    def lines(self) -> list[str]:
        """The report as lines for the terminal."""
        shown = [f"  matched: {text}" for text in self.examples]
        return [
            f"concept: {self.by_caption} rows by caption, {self.of_class} by class name",
            *shown,
            *(
                [f"  {self.unread} rows name it only after the tokenizer's limit: the model never read it"]
                * bool(self.unread)
            ),
            *([f"  near misses, not matched: {self.near}; add what is meant to request.synonyms"] if self.near else []),
        ]


def find_concept(
    request: ByConcept, reader: ShardReader, examples: int = 5, misses: int = 8, tokenize: Tokenize | None = None
) -> ConceptReport:
    """Find the rows that a concept names, in one pass over labels and captions.

    Args:
        request: The concept and its synonyms.
        reader: The data set.
        examples: Largest number of matching captions that are reported.
        misses: Largest number of near misses that are reported.
        tokenize: Tokenizer of the model. If given, rows that name the concept after its limit are counted.

    Returns:
        The rows and the report.

    Raises:
        UserError: The data has no captions.
    """
    names = [folded(name) for name in reader.manifest.class_names]
    classes = [number for number, name in enumerate(names) if name in {folded(p) for p in request.phrases}]
    if not reader.has_captions:
        raise UserError(
            f"request.kind by_concept matches captions, {reader.folder} has none; for a class of labels: "
            f"request={{kind: by_class, classes: [{(classes or [0])[0]}]}} "
            f"(cu requests add: --class)."
        )
    labelled = reader.integers_in("label", classes)
    matched, shown, near, unread = [], list[str](), Counter[str](), 0
    pattern, words = request.pattern, [w for p in request.phrases for w in WORD.findall(folded(p))]
    for row, texts in _captions(reader):
        found = [text for text in texts if pattern.search(folded(text))]
        if found:
            matched.append(row)
            unread += tokenize is not None and not any(_reads(text, pattern, tokenize) for text in found)
            shown += [text for text in found if text not in shown][: examples - len(shown)]
        else:
            near.update({w for text in texts for w in WORD.findall(folded(text)) if _resembles(w, words)})
    rows = np.union1d(labelled, np.array(matched, np.int64))
    return ConceptReport(len(labelled), len(matched), rows, tuple(shown), tuple(near.most_common(misses)), unread)


def _reads(text: str, pattern: re.Pattern[str], tokenize: Tokenize) -> bool:
    """Return whether a model reads the match in a text: its words change the tokens."""
    plain = folded(text)
    ends = [(match.start(), match.end()) for match in pattern.finditer(plain)]
    tokens = tokenize([plain[:end] for pair in ends for end in pair])
    return bool((tokens[0::2] != tokens[1::2]).any())


def folded(text: str) -> str:
    """Return a text so that case, the form of accents and the width of letters do not matter."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _whole_words(phrase: str) -> str:
    words = phrase.split()
    before = "" if UNSPACED.match(words[0][0]) else r"(?<!\w)"
    after = "" if UNSPACED.match(words[-1][-1]) else r"(?!\w)"
    return before + r"\s+".join(map(re.escape, words)) + after


def _captions(reader: ShardReader) -> Iterator[tuple[int, list[str]]]:
    for start in range(0, reader.num_rows("train"), ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, reader.num_rows("train")))
        yield from zip(rows.tolist(), reader.captions("train", rows), strict=True)


def _resembles(word: str, wanted: list[str]) -> bool:
    return any(w in word and len(w) > 2 for w in wanted) or bool(difflib.get_close_matches(word, wanted, 1, 0.8))


def resolve_concept(request: ByConcept, reader: ShardReader) -> Rows:
    """Return the training rows that a concept names, ascending.

    Raises:
        UserError: Nothing names the concept; the message lists the near misses.
    """
    report = find_concept(request, reader)
    if not len(report.rows):
        near = f"near misses: {report.near}" if report.near else "nothing comes near"
        raise UserError(f"the request forgets nothing: no caption names {' or '.join(request.phrases)}; {near}.")
    return report.rows
