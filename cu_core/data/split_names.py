"""Which split a file or folder belongs to, by the words of its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from cu_core.data.schema import Split

SPLIT_WORDS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""The words that the Hugging Face Hub knows."""


def split_in_name(name: str) -> Split | None:
    """Return the split that a name holds as a whole word, in any case; the last of several words counts.

    Digits and punctuation end a word: ``captions_val2017`` is of ``val``, ``testimonials`` names no split.
    """
    words = [SPLIT_WORDS[word] for word in re.findall(r"[a-z]+", name.lower()) if word in SPLIT_WORDS]
    return words[-1] if words else None


def split_of_path(relative: PurePath) -> Split | None:
    """Return the split of a file: of its name, else of the nearest folder that names one."""
    stem = relative.name.partition(".")[0] or relative.name
    return next((found for part in (stem, *relative.parts[-2::-1]) if (found := split_in_name(part))), None)


def describe_splits(files: Iterable[tuple[str, Split | None, int]]) -> dict[str, int]:
    """Build a note for each split that says which files it takes.

    Args:
        files: Name, split in the name (absent: the file becomes training rows) and rows of each file.

    Returns:
        Note -> rows.
    """
    found: dict[Split | None, list[tuple[str, int]]] = {}
    for name, split, rows in files:
        found.setdefault(split, []).append((name, rows))
    notes = {}
    for split, named in found.items():
        names = ", ".join(name for name, _ in named[:3]) + (", ..." if len(named) > 3 else "")
        reason = "" if split else ", no split in the name"
        note = f"{split or 'train'}: rows of {len(named)} file{'s' * (len(named) > 1)}{reason} ({names})"
        notes[note] = sum(count for _, count in named)
    return notes
