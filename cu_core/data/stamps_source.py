"""Stamps of Tux Paint: pictures in folders by category, each beside a text file with its caption in many languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cu_core.data.captioned_files import ENGLISH, CaptionedFile, captioned_files, language_key
from cu_core.data.source_files import is_hidden
from cu_core.data.sources import Source, SourceOptions
from cu_core.errors import DataError, listed

PICTURES = (".png", ".svg")
"""Of a stamp in several formats, the first of these is read."""
LARGEST_TEXT = 2**20
PACKAGE_FOLDER = "/usr/share/tuxpaint/stamps"
LANGUAGE_MARK = ".utf8="


def stamps(argument: str, options: SourceOptions) -> Source:
    """``DIR``: a folder as Debian's ``tuxpaint-stamps-default`` has it, ``/usr/share/tuxpaint/stamps``.

    A row is a picture with a text file of its name: the English caption in the first line, then ``de.utf8=...``. Its
    concept is the English caption without its full stop, its group the folder, its style ``png`` or ``svg``. Pictures
    without a text are left out, and counted.

    Raises:
        DataError: There is no such folder, it has no stamps, or texts cannot be read; all of them are named.
    """
    place, root = f"stamps:{argument}", Path(argument)
    if not argument or not root.is_dir():
        raise DataError(f"{place}: no such folder; Debian's package tuxpaint-stamps-default has {PACKAGE_FOLDER}.")
    notes, problems, files = Counter[str](), list[str](), list[CaptionedFile]()
    for path in _pictures(root, notes):
        text = path.with_suffix(".txt")
        if not text.is_file():
            notes["left out, no text file of the picture's name"] += 1
            continue
        try:
            captions = read_captions(text)
        except DataError as error:
            problems.append(str(error))
            continue
        relative = path.relative_to(root)
        concept, texts = captions[ENGLISH].rstrip("."), {tag: [text] for tag, text in captions.items()}
        files.append(CaptionedFile(str(relative), concept, str(relative.parent), path.suffix[1:].lower(), texts))
    if problems and not options.skip_bad:
        raise DataError(f"{place}: texts that cannot be read, {listed(problems)} Mend them, or leave them out with "
                        f"--skip-bad.")  # fmt: skip
    notes["left out, text not readable"] = len(problems)
    if not files:
        raise DataError(f"{place} has no stamp: no picture (*.png, *.svg) with a text file (*.txt) of its name.")
    return captioned_files(place, root, files, options, notes)


def _pictures(root: Path, notes: Counter[str]) -> Iterator[Path]:
    """Yield the pictures, one of each stamp, by name; hidden files are left out."""
    found: dict[Path, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in PICTURES and path.is_file() and not any(map(is_hidden, path.relative_to(root).parts)):
            found.setdefault(path.with_suffix(""), []).append(path)
    for paths in found.values():
        first, *others = sorted(paths, key=lambda path: PICTURES.index(path.suffix.lower()))
        notes["left out, the same stamp in another format"] += len(others)
        yield first


def read_captions(path: Path) -> dict[str, str]:
    """Read the text file of a stamp: language -> caption, ``en`` first.

    Raises:
        DataError: It is too large, not UTF-8, or has no first line.
    """
    if (size := path.stat().st_size) > LARGEST_TEXT:
        raise DataError(f"{path} has {size:,} bytes, more than {LARGEST_TEXT:,}")
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    found = {ENGLISH: lines[0].strip() if lines else ""}
    if not found[ENGLISH]:
        raise DataError(f"{path} has no caption in its first line")
    for line in lines[1:]:
        tag, mark, text = line.partition(LANGUAGE_MARK)
        if mark and text.strip():
            found.setdefault(language_key(tag.strip()), text.strip())
    return found
