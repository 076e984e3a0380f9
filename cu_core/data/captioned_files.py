"""Image files with a concept, a group, a style and captions in several languages, as a source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from cu_core.data.drawings import drawn
from cu_core.data.schema import CAPTION
from cu_core.data.sources import Source, SourceOptions
from cu_core.data.table_file import Columns, TableFile
from cu_core.data.table_source import TableSource
from cu_core.errors import DataError
from cu_core.messages import shown_some

ROWS_AT_ONCE = 512
ENGLISH = "en"
LABELS = ("concept", "group", "style")
"""Columns that may be the classes."""
TEXTS = pa.list_(pa.string())
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}([-_@][A-Za-z0-9]{1,8})*")


@dataclass(frozen=True)
class CaptionedFile:
    """An image file and what is known of it."""

    file: str
    """Relative to the folder of the source."""
    concept: str
    group: str
    style: str
    captions: Mapping[str, Sequence[str]]
    """Language, as ``language_key`` writes it -> captions, the most usual first."""

    def captions_in(self, language: str) -> list[str]:
        """Return the captions in a language; empty if there are none."""
        return list(self.captions.get(language_key(language), ()))


def languages_of(options: SourceOptions, place: str) -> tuple[str, ...]:
    """Return the languages that a user wants, the one of the captions first.

    Raises:
        DataError: One is not the tag of a language, or is named twice.
    """
    found = options.languages or (ENGLISH,)
    for tag in found:
        if not _LANGUAGE.fullmatch(tag):
            raise DataError(
                f"{place}: --language must be the tag of a language such as en, de or zh-Hant, got {tag!r}."
            )
    if len(set(map(language_key, found))) < len(found):
        raise DataError(f"{place}: --language names a language twice: {', '.join(found)}.")
    return found


def language_key(tag: str) -> str:
    """Return a tag in one form: case does not matter, and ``pt_BR`` is ``pt-BR``."""
    return tag.lower().replace("_", "-")


def caption_column(language: str) -> str:
    """Return the column of the captions in a further language."""
    return f"{CAPTION}_{language}"


def captioned_files(
    place: str, root: Path, files: Sequence[CaptionedFile], options: SourceOptions, notes: Mapping[str, int]
) -> Source:
    """Build the source.

    Its columns are ``caption`` (a list, in the first of the languages), ``caption_LANGUAGE`` for each further one,
    ``concept``, ``group``, ``style``, ``language`` (the first) and ``file``. The concepts are the classes;
    ``--column label=group`` or ``label=style`` chooses others. SVG is drawn, and transparency becomes white.

    Args:
        place: The source as the user gave it.
        root: Folder of the files.
        files: The files; those without a caption in the first language are left out, and counted.
        options: The user's options.
        notes: What a user should know of how the files were found.

    Raises:
        DataError: There are no files with captions in a language, or the options do not fit.
    """
    languages = languages_of(options, place)
    known = {tag for file in files for tag, texts in file.captions.items() if texts}
    for tag in languages:
        if language_key(tag) not in known:
            raise DataError(f"{place} has no captions in {tag}; it has {shown_some(sorted(known))} (--language).")
    label = _label(options, place)
    kept = [file for file in files if file.captions_in(languages[0])]
    found = Counter(notes)
    found[f"left out, without a caption in {languages[0]}"] = len(files) - len(kept)
    for tag in languages[1:]:
        found[f"without a caption in {tag}"] = sum(not file.captions_in(tag) for file in kept)
    table = _table(kept, languages, label)
    parts = [TableFile(place, None, len(table), table.schema, lambda columns: _batches(table, columns))]
    source = TableSource(place, parts, replace(options, columns={}), root, id_from="file")
    return drawn(source.source(place.partition(":")[0], {n: count for n, count in found.items() if count}), options)


def _label(options: SourceOptions, place: str) -> str:
    given = dict(options.columns or {})
    label = given.pop("label", LABELS[0])
    if given or label not in LABELS:
        raise DataError(f"{place}: --column can be label=concept, label=group or label=style here.")
    return label


def _table(files: Sequence[CaptionedFile], languages: Sequence[str], label: str) -> pa.Table:
    captions = {
        caption_column(tag) if number else CAPTION: pa.array([f.captions_in(tag) for f in files], TEXTS)
        for number, tag in enumerate(languages)
    }
    plain = {
        "image": [f.file for f in files],
        "label": [getattr(f, label) for f in files],
        **{name: [getattr(f, name) for f in files] for name in LABELS},
        "language": [languages[0]] * len(files),
        "file": [f.file for f in files],
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in plain.items()} | captions)


def _batches(table: pa.Table, columns: Columns) -> Iterator[pa.RecordBatch]:
    part = table if columns is None else table.select(list(columns))
    yield from part.combine_chunks().to_batches(max_chunksize=ROWS_AT_ONCE)
