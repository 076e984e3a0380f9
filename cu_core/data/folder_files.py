"""The image files under a folder, with a count of everything that is left out and a line for all that is wrong."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cu_core.data.images import is_image_file
from cu_core.data.sources import IMAGE_SUFFIXES

SYSTEM_NAMES = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"}
"""Files and folders that operating systems leave, beside those whose names begin with a dot."""
HIDDEN_NAMES = {".ds_store", ".ipynb_checkpoints", ".git"}
"""Hidden names that are counted one by one; the others are counted together."""


@dataclass
class Listing:
    """Reads folders; collects counts and problems over all of them."""

    max_file_bytes: int
    notes: Counter[str] = field(default_factory=Counter)
    """What was left out, and how many."""
    problems: list[str] = field(default_factory=list)
    """Files that cannot be read, with the reason."""

    def entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """Return what lies in a folder by name, without what an operating system left there."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            self.problems.append(f"{folder}: {error.strerror}")
            return []
        kept = []
        for entry in entries:
            if system := _system_name(entry.name):
                self.notes[f"skipped {system}"] += 1
            elif not _is_utf8(entry.name):
                self.problems.append(f"{_printable(entry.path)}: the name is not UTF-8")
            else:
                kept.append(entry)
        return kept

    def folders(self, folder: Path) -> list[Path]:
        """Return the folders in a folder; the files beside them are counted."""
        entries = self.entries(folder)
        for entry in entries:
            if not entry.is_dir():
                suffix = Path(entry.name).suffix.lower()
                self.notes[f"left out, in no class folder: {suffix or 'no suffix'}"] += 1
        return [Path(entry.path) for entry in entries if entry.is_dir()]

    def images(self, folder: Path) -> Iterator[Path]:
        """Yield the images in a folder and in its sub-folders; links are followed."""
        stack = [(folder, frozenset[tuple[int, int]]())]
        while stack:
            place, above = stack.pop()
            state = place.stat()
            here = (state.st_dev, state.st_ino)
            if here in above:
                self.problems.append(f"{place}: a link to a folder that it lies in")
                continue
            for entry in self.entries(place):
                if entry.is_dir():
                    stack.append((Path(entry.path), above | {here}))
                elif self._is_image(entry):
                    yield Path(entry.path)

    def _is_image(self, entry: os.DirEntry[str]) -> bool:
        if problem := self._unreadable(entry):
            self.problems.append(f"{entry.path}: {problem}")
            return False
        suffix = Path(entry.name).suffix.lower()
        if suffix in IMAGE_SUFFIXES or is_image_file(Path(entry.path)):
            return True
        self.notes[f"left out, no image: {suffix or 'no suffix'}"] += 1
        return False

    def _unreadable(self, entry: os.DirEntry[str]) -> str:
        if not entry.is_file():
            return "neither a file nor a folder (a broken link, a pipe or a device)"
        if not os.access(entry.path, os.R_OK):
            return "may not be read"
        size = entry.stat().st_size
        return f"{size:,} bytes, the bound is {self.max_file_bytes:,}" if size > self.max_file_bytes else ""


def _system_name(name: str) -> str:
    """Return the name under which a file that no user made is counted; empty for any other."""
    if name.lower() in SYSTEM_NAMES | HIDDEN_NAMES:
        return name
    if name.startswith("._"):
        return "._*"
    return ".*" if name.startswith(".") else ""


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)  # how Python keeps other bytes


def _printable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
