"""Columns from JSON objects, one object a row: each key is a column of the type that fits all its values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

MOST_COLUMNS = 256
"""With more keys than these the objects stay one column of JSON text, ``metadata``."""
METADATA = "metadata"


class JsonColumns:
    """Sees all objects first, then gives the values of their columns."""

    def __init__(self) -> None:
        self.types: dict[str, pa.DataType] = {}
        """Type of each column, once ``settle`` was called."""
        self._kinds: dict[str, set[type]] = {}
        self._names: dict[str, str] = {}

    def see(self, content: Mapping[str, Any]) -> None:
        """Take note of the keys and types of an object."""
        if len(self._kinds) > MOST_COLUMNS:
            return
        for key, value in content.items():
            kinds = self._kinds.setdefault(key, set())
            if value is not None:
                wide = isinstance(value, int) and not -(2**63) <= value < 2**63
                kinds.add(object if wide else type(value))

    def settle(self, reserved: Sequence[str], notes: dict[str, int]) -> None:
        """Choose names and types of the columns.

        Args:
            reserved: Names that other columns have.
            notes: Where renamed columns are noted.
        """
        if len(self._kinds) > MOST_COLUMNS:
            notes[f"keys of the .json files, kept as one column {METADATA!r}, at least"] = len(self._kinds)
            self.types = {METADATA: pa.string()}
            return
        for key, kinds in self._kinds.items():
            name = key
            while name in reserved or (name != key and name in self._kinds):
                name = f"{name}_in_json"
            if name != key:
                notes[f"renamed, {key!r} of the .json files to {name!r}"] = 1
            self._names[key] = name
            self.types[name] = _type_of(kinds)

    def values(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of each column for an object."""
        if METADATA in self.types and not self._names:
            return {METADATA: json.dumps(content, ensure_ascii=False)}
        return {self._names[key]: self._value(self.types[self._names[key]], value) for key, value in content.items()}

    @staticmethod
    def _value(kind: pa.DataType, value: Any) -> Any:
        if kind != pa.string() or value is None or isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False)


def _type_of(kinds: set[type]) -> pa.DataType:
    """Return the Arrow type that holds values of these types; what no other type holds becomes JSON text."""
    for types, kind in (({bool}, pa.bool_()), ({int}, pa.int64()), ({int, float}, pa.float64())):
        if kinds and kinds <= types:
            return kind
    return pa.string()
