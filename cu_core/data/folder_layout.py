"""Layouts of folders in which a split would be taken for a class, or several classes for one: refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cu_core.data.schema import Split
from cu_core.data.split_names import SPLIT_WORDS, split_in_name
from cu_core.errors import DataError

GENERAL = {"set", "data", "dataset", "seg", "split", "image", "images", "img", "imgs", "picture", "pictures", "photos"}
"""Words beside that of a split in names of folders that hold a split: ``train_set``, ``seg_test``."""
BESIDE = {"labels", "annotations", "masks"}
"""Folders beside ``images`` that say that none of them is a class."""
Images = Sequence[tuple[Path, str]]
"""Files, each with its class."""


def check_layout(place: str, splits: Mapping[Split, Sequence[Path]], images: Mapping[Split, Images]) -> int:
    """Check that class folders are classes.

    Args:
        place: The source as the user gave it.
        splits: Class folders of each split.
        images: Images of each split.

    Returns:
        Images that lie in sub-folders of class folders.

    Raises:
        DataError: Class folders or their sub-folders name splits, or all images lie in sub-folders of one class.
    """
    in_sub_folders = 0
    for split, folders in splits.items():
        _check_names(place, [folder.name for folder in folders])
        depth = len(folders[0].parts) if folders else 0
        inner = [path.parts[depth:-1] for path, _ in images[split]]
        in_sub_folders += sum(map(bool, inner))
        if found := next((name for parts in inner for name in parts if _is_split(name)), None):
            raise DataError(
                f"{place}: the folder {found} in a class folder names a split. Put the splits above the classes "
                f"(train/CLASS, test/CLASS), or rename it."
            )
        if len({name for _, name in images[split]}) == 1 and inner and all(inner):
            names = ", ".join(sorted({parts[0] for parts in inner})[:5])
            class_folder = Path(*images[split][0][0].parts[:depth])
            raise DataError(
                f"{place}: all images lie in sub-folders ({names}) of the one class {class_folder.name}. If those are "
                f"the classes, pack folder:{class_folder}; else move the images into {class_folder.name}."
            )
    return in_sub_folders


def _check_names(place: str, names: Sequence[str]) -> None:
    lower = {name.lower() for name in names}
    if "images" in lower and (beside := sorted(lower & BESIDE)):
        raise DataError(
            f"{place}: images and {', '.join(beside)} are no classes; make a sub-folder for each class, or a table "
            f"(csv:) of paths and labels."
        )
    general = [name for name in names if name.lower() not in SPLIT_WORDS and _is_split(name)]
    named = general or _of_several_splits(names)
    if named:
        raise DataError(
            f"{place}: {', '.join(named[:20])} would be classes, but the names hold a split. Call split folders "
            f"{', '.join(SPLIT_WORDS)}, with the class folders inside; rename classes that are meant."
        )


def _of_several_splits(names: Iterable[str]) -> list[str]:
    """Return names that are alike but for the split that they hold, as ``dogs_train`` and ``dogs_test``.

    ``bullet_train`` and ``validation_error`` are classes.
    """
    alike: dict[tuple[str, ...], dict[str, Split]] = {}
    for name in names:
        if split := split_in_name(name):
            alike.setdefault(tuple(word for word in _words(name) if word not in SPLIT_WORDS), {})[name] = split
    return [name for group in alike.values() if len(set(group.values())) > 1 for name in group]


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", name.lower())


def _is_split(name: str) -> bool:
    """Return whether a name is that of a split, with no other words than general ones."""
    known = GENERAL | set(SPLIT_WORDS)
    return split_in_name(name) is not None and known.issuperset(_words(name))
