"""Emoji as npm packages lay them: one concept in several drawing styles, with names and keywords in many languages.

``emoji-datasource-*`` (pictures of 64 pixels and ``emoji.json``), ``openmoji`` (SVG), and the ``cldr-annotations-*``
of Unicode (names and keywords).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from cu_core.data.captioned_files import ENGLISH, CaptionedFile, captioned_files, language_key, languages_of
from cu_core.data.source_files import read_json
from cu_core.data.sources import Source, SourceOptions
from cu_core.errors import DataError
from cu_core.validation import one_line

PACKAGES = "npm install emoji-datasource-google openmoji cldr-annotations-full cldr-annotations-derived-full"
VARIANT = "\ufe0f"
"""Code point that asks for the coloured form; CLDR's tables leave it out."""


@dataclass(frozen=True)
class _Emoji:
    """An entry of ``emoji.json``."""

    unified: Annotated[str, Field(pattern=r"^(10|[0-9A-F])?[0-9A-F]{4}(-(10|[0-9A-F])?[0-9A-F]{4})*$")]
    image: str
    category: str
    subcategory: str
    skin_variations: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(chr(int(code, 16)) for code in self.unified.split("-"))


@dataclass(frozen=True)
class _Names:
    """What CLDR says of an emoji in one language."""

    tts: tuple[str, ...] = ()
    """The name."""
    default: tuple[str, ...] = ()
    """Keywords."""


EMOJI = TypeAdapter(list[_Emoji])
NAMES = TypeAdapter(dict[str, _Names])


def emoji(argument: str, options: SourceOptions) -> Source:
    """``DIR``: a folder of npm packages (``node_modules``).

    A row is an emoji in a style: that of each picture folder of ``emoji-datasource*`` and that of ``openmoji``. Its
    concept is the English name of CLDR, its group the sub-category, its captions are the name and then the keywords.
    Skin tones are left out, and counted.

    Raises:
        DataError: A package is missing, or its files are not as expected.
    """
    place = f"emoji:{argument}"
    root = Path(argument)
    languages = languages_of(options, place)
    folders = root.glob("emoji-datasource*") if argument and root.is_dir() else ()
    packages = sorted(path for path in folders if (path / "emoji.json").is_file())
    if not packages:
        raise DataError(f"{place} must be a folder with emoji-datasource-*/emoji.json, as `{PACKAGES}` makes it.")
    notes = Counter[str]()
    listed = _parsed(EMOJI, read_json(packages[0] / "emoji.json", options.max_file_mb), packages[0] / "emoji.json")
    notes["left out, skin tones of an emoji"] = sum(len(one.skin_variations) for one in listed)
    names = {tag: _names(root, tag, options) for tag in dict.fromkeys((ENGLISH, *languages))}
    files = []
    for one in listed:
        captions = {tag: _captions(found, one) for tag, found in names.items()}
        if not captions[ENGLISH]:
            notes["left out, emoji without an English name in CLDR"] += 1
            continue
        wanted = {language_key(tag): captions[tag] for tag in languages}
        for style, path in _pictures(root, packages, one):
            if path.is_file():
                name = captions[ENGLISH][0]
                files.append(CaptionedFile(str(path.relative_to(root)), name, one.subcategory, style, wanted))
            else:
                notes[f"left out, no picture in the style {style}"] += 1
    return captioned_files(place, root, files, options, notes)


def _parsed(kind: TypeAdapter[Any], content: Any, path: Path) -> Any:
    try:
        return kind.validate_python(content)
    except ValidationError as error:
        raise DataError(f"{path} is not as the package has it: {one_line(error)}.") from error


def _names(root: Path, language: str, options: SourceOptions) -> dict[str, _Names]:
    """Return the names of all emoji in a language, of all packages of CLDR.

    Raises:
        DataError: No package has the language.
    """
    folders = sorted(root.glob("cldr-annotations*/annotations*"))
    here = sorted({place.name for folder in folders for place in folder.iterdir() if place.is_dir()})
    found: dict[str, _Names] = {}
    for folder in folders:
        for file in sorted(folder.glob("*/annotations.json")):
            if language_key(file.parent.name) == language_key(language):
                content = read_json(file, options.max_file_mb)
                inner = content.get(folder.name) if isinstance(content, dict) else None
                inner = inner.get("annotations") if isinstance(inner, dict) else None
                found |= _parsed(NAMES, inner, file)
    if not found:
        known = f"there are {len(here)}, e.g. {', '.join(here[:8])}" if here else f"run `{PACKAGES}`"
        raise DataError(f"emoji:{root} has no names in the language {language} (cldr-annotations-*); {known}.")
    return found


def _captions(names: Mapping[str, _Names], one: _Emoji) -> tuple[str, ...]:
    found = names.get(one.text) or names.get(one.text.replace(VARIANT, "")) or _Names()
    texts = [text.strip() for text in (*found.tts, *found.default) if text.strip()]
    return tuple(dict.fromkeys(texts)) if found.tts else ()


def _pictures(root: Path, packages: Sequence[Path], one: _Emoji) -> Iterator[tuple[str, Path]]:
    seen = set()
    for package in packages:
        for folder in sorted(package.glob("img/*/64")):
            if folder.parent.name not in seen:
                seen.add(folder.parent.name)
                yield folder.parent.name, folder / one.image
    drawings = root / "openmoji" / "color" / "svg"
    if drawings.is_dir():
        shorter = drawings / f"{one.unified.replace('-FE0F', '')}.svg"
        exact = drawings / f"{one.unified}.svg"
        yield "openmoji", exact if exact.is_file() else shorter
