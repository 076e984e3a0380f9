"""Which column of a table is the image, the label, the caption and the id."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from cu_core.data.arrow_types import is_image_struct, is_path_struct
from cu_core.data.schema import CAPTION
from cu_core.errors import DataError

ROLES = ("sample_id", "image", "label", CAPTION)
USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "sample_id": ("sample_id",),
    "image": ("image", "img", "jpg", "jpeg", "png", "webp", "image_path", "file_name", "filename", "filepath", "path",
              "file"),
    "label": ("label", "labels", "cls", "class", "target"),
    CAPTION: (CAPTION, "captions", "text", "txt", "sentence"),
}  # fmt: skip
"""Names that are taken for a role, in any case, the first that is there; ``--column`` names another."""


@dataclass(frozen=True)
class Roles:
    """Names of the columns."""

    image: str
    sample_id: str | None
    label: str | None
    caption: str | None
    extra: Mapping[str, str]
    """Further columns: name in the source -> name in the shards."""
    notes: Mapping[str, int] = field(default_factory=dict)
    """What a user should know of the choice."""

    @property
    def surveyed(self) -> list[str]:
        """The columns that are read before anything is written."""
        return [name for name in (self.sample_id, self.label, self.caption) if name is not None]


def find_roles(schema: pa.Schema, given: Mapping[str, str], place: str) -> Roles:
    """Choose the column of each role; without a label there must be captions.

    Args:
        schema: Columns of the source.
        given: Role -> name, from the user.
        place: Name of the source, for errors.

    Returns:
        The roles.

    Raises:
        DataError: A column is missing, occurs twice or would have two roles.
    """
    check_names(schema.names, given, place)
    features = hub_features(schema)
    names = {role: given.get(role) or _usual(role, schema, features) for role in ROLES}
    if names["image"] is None or (names["label"] is None and names[CAPTION] is None):
        missing = "image" if names["image"] is None else "label or caption"
        raise DataError(
            f"{place} has no column {missing!r}; columns there: {', '.join(schema.names)}. "
            f"Map yours with --column, e.g. --column {missing.split()[0]}=NAME."
        )
    if names["label"] is not None and CAPTION not in given and names[CAPTION] != CAPTION:
        names[CAPTION] = None  # a text beside labels stays under its own name
    notes = {f"read as {role}, column {n!r}": 1 for role, n in names.items() if n not in (None, role, given.get(role))}
    extra = _extra(schema.names, {n for n in names.values() if n is not None}, notes)
    return Roles(str(names["image"]), names["sample_id"], names["label"], names[CAPTION], extra, notes)


def check_names(present: Sequence[str], given: Mapping[str, str], place: str) -> None:
    """Check the names of columns and the mapping that a user gave.

    Raises:
        DataError: A column is missing, occurs twice or has two roles.
    """
    for name in given.values():
        if name not in present:
            raise DataError(
                f"{place} has no column {name!r}; columns there: {', '.join(present)}. "
                f"Map yours with --column, e.g. --column image=img."
            )
    if twice := [repr(name) for name, count in Counter(present).items() if count > 1]:
        raise DataError(f"{place} has several columns of one name: {', '.join(twice)}; rename them.")
    if twice := [repr(name) for name, count in Counter(given.values()).items() if count > 1]:
        raise DataError(f"--column gives {', '.join(twice)} two roles; a column has one.")


def hub_features(schema: pa.Schema) -> Mapping[str, Mapping[str, Any]]:
    """Return the features of Hugging Face's metadata, by column; empty if there are none."""
    try:
        content = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = content["info"]["features"]
        return {str(k): v for k, v in features.items() if isinstance(v, dict)}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):  # another tool's, or none
        return {}


def class_label_names(schema: pa.Schema, column: str | None) -> list[str] | None:
    """Return the class names of a ClassLabel column, or ``None``."""
    names = hub_features(schema).get(column or "", {}).get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return names if len(set(names)) == len(names) else None


def _usual(role: str, schema: pa.Schema, features: Mapping[str, Mapping[str, Any]]) -> str | None:
    lower: dict[str, str] = {name.lower(): name for name in reversed(schema.names)}
    kind = {"image": "Image", "label": "ClassLabel"}.get(role)
    typed: list[str] = (
        [n for n, feature in features.items() if feature.get("_type") == kind and n in schema.names] if kind else []
    )
    for name in USUAL_NAMES[role]:
        if name in lower and (not typed or lower[name] in typed):
            return lower[name]
    if len(typed) == 1:
        return typed[0]
    holding: list[str] = (
        [field.name for field in schema if is_image_struct(field.type) or is_path_struct(field.type)]
        if role == "image"
        else []
    )
    return holding[0] if len(holding) == 1 else None


def _extra(present: Sequence[str], taken: set[str], notes: dict[str, int]) -> dict[str, str]:
    extra: dict[str, str] = {}
    for name in present:
        if name in taken:
            continue
        new = name
        while new in ROLES or (new != name and new in present):
            new = f"{new}_in_source"
        if new != name:
            notes[f"renamed, column {name!r} to {new!r}, as another column has its role"] = 1
        extra[name] = new
    return extra
