"""Class folders as a source: which folder is a split, which is a class, and which files are its images."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from cu_core.data.folder_files import Listing
from cu_core.data.folder_layout import check_layout
from cu_core.data.images import max_file_bytes
from cu_core.data.schema import SPLITS, Split
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import IMAGE_SUFFIXES, Source, SourceOptions
from cu_core.data.split_names import SPLIT_WORDS
from cu_core.errors import DataError, listed

CHUNK_FILES = 256
CHUNK_BYTES = 2**26
Images = list[tuple[Path, str]]
"""Files in the order of their paths, each with its class."""


def folder(argument: str, options: SourceOptions) -> Source:
    """``DIR/CLASS/*.jpg``, or ``DIR/train/CLASS/*.jpg`` beside ``val`` and ``test``.

    The names of the class folders in alphabetical order are the classes. Files are images by suffix or by content.

    Raises:
        DataError: There are no class folders with images, a folder beside ``train`` names no split, class folders
            name splits, or files cannot be read; all of them are named.
    """
    root = Path(argument)
    if not root.is_dir():
        raise DataError(f"folder:{argument}: no such folder.")
    listing = Listing(max_file_bytes(options.max_pixels))
    folders = listing.folders(root)
    splits = {split: listing.folders(place) for split, place in _split_folders(root, folders).items()}
    splits = splits or {"train": folders}
    images = {split: _images(found, listing) for split, found in splits.items()}
    if listing.problems and not options.skip_bad:
        raise DataError(
            f"folder:{argument}: files that cannot be read, {listed(listing.problems)} Mend them, or leave them out "
            f"with --skip-bad."
        )
    if not any(images.values()):
        raise DataError(
            f"folder:{argument} must hold class sub-folders with images ({', '.join(sorted(IMAGE_SUFFIXES))})."
        )
    in_sub_folders = check_layout(f"folder:{argument}", splits, images)
    classes = tuple(sorted({_class_name(f) for found in splits.values() for f in found}))
    images = {split: found for split, found in images.items() if found}
    notes = _notes(listing, classes, splits, images)
    notes |= {"images in sub-folders of class folders": in_sub_folders} if in_sub_folders else {}

    def read() -> Iterator[Chunk]:
        for split, found in images.items():
            yield from _chunks(root, split, found, classes)

    return Source(root.name, classes, {split: len(found) for split, found in images.items()}, read, notes)


def _split_folders(root: Path, folders: Sequence[Path]) -> dict[Split, Path]:
    """Return the folder of each split; empty for class folders without splits.

    Raises:
        DataError: Some folders name splits and others do not, or two of them name the same split.
    """
    named = [f for f in folders if f.name.lower() in SPLIT_WORDS]
    others = [f.name for f in folders if f not in named]
    if not named:
        if outer := next((f for f in folders for name in ("train", "Train", "TRAIN") if (f / name).is_dir()), None):
            raise DataError(f"folder:{root}: {outer.name} holds split folders; pack folder:{outer}.")
        return {}
    if others:
        raise DataError(
            f"folder:{root}: {', '.join(f.name for f in named)} names a split, {', '.join(others[:20])} does not. "
            f"Split folders are called {', '.join(SPLIT_WORDS)}, in any case; rename the others or move them away."
        )
    found: dict[Split, Path] = {}
    for place in named:
        split = SPLIT_WORDS[place.name.lower()]
        if split in found:
            raise DataError(f"folder:{root}: {found[split].name} and {place.name} both name {split}; join them.")
        found[split] = place
    return {split: found[split] for split in SPLITS if split in found}


def _class_name(folder: Path) -> str:
    """Return the class of a folder; the normal forms of an accented name are one class."""
    return unicodedata.normalize("NFC", folder.name)


def _images(class_folders: Sequence[Path], listing: Listing) -> Images:
    return sorted((path, _class_name(one)) for one in class_folders for path in listing.images(one))


def _notes(
    listing: Listing, classes: Sequence[str], splits: Mapping[Split, Sequence[Path]], images: Mapping[Split, Images]
) -> dict[str, int]:
    """Count what was left out, and what a reader of the folders might not expect."""
    notes = Counter(listing.notes)
    notes["left out, not readable"] += len(listing.problems)
    notes["split folders without images"] += len(splits) - len(images)
    names = {split: {_class_name(f) for f in found} for split, found in splits.items()}
    notes["class folders joined, their names differ in Unicode's normal form only"] += sum(
        len(found) - len(names[split]) for split, found in splits.items()
    )
    filled = {name for found in images.values() for _, name in found}
    for what, lacking in (
        ("classes without images", [name for name in classes if name not in filled]),
        ("classes without a folder in train", [n for n in classes if n in filled and n not in names.get("train", ())]),
    ):
        notes[f"{what} ({', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''})"] += len(lacking)
    return {what: count for what, count in sorted(notes.items()) if count}


def _chunks(root: Path, split: Split, images: Images, classes: Sequence[str]) -> Iterator[Chunk]:
    labels = {name: number for number, name in enumerate(classes)}
    part: list[tuple[Path, str, bytes]] = []
    for path, name in images:
        part.append((path, name, _bytes(path)))
        if len(part) == CHUNK_FILES or sum(len(data) for _, _, data in part) >= CHUNK_BYTES:
            yield _chunk(root, split, part, labels)
            part = []
    if part:
        yield _chunk(root, split, part, labels)


def _chunk(root: Path, split: Split, part: Sequence[tuple[Path, str, bytes]], labels: Mapping[str, int]) -> Chunk:
    relative = [str(path.relative_to(root)) for path, _, _ in part]
    ids = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1 for name in relative]
    numbers = np.array([labels[name] for _, name, _ in part], np.int64)
    images = [data for _, _, data in part]
    return Chunk(split, images, numbers, np.array(ids, np.int64), pa.table({"file": relative}))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:  # it was there when the folder was listed
        raise DataError(f"{path}: {error.strerror}.") from error
