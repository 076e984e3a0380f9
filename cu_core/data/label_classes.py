"""From the values of a label column to class numbers: every distinct value is a class."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cu_core.data.arrow_types import is_list, is_text
from cu_core.data.manifest_checks import MAX_CLASSES
from cu_core.errors import DataError

_WHOLE = re.compile(r"-?[0-9]{1,18}(\.0*)?")
_ZEROS = r"\.0*$"
BadRows = Mapping[str, NDArray[np.int64]]
"""What is wrong -> the rows."""


@dataclass(frozen=True)
class Classes:
    """The classes of a data set."""

    names: tuple[str, ...]
    values: tuple[int | str, ...]
    """Value in the source of each class."""
    whole_floats: bool = False
    """Whether the values are texts of whole floats, such as ``2.0``, and are read as whole numbers."""

    @property
    def renumbered(self) -> bool:
        """Whether whole numbers got other class numbers than they are."""
        return any(isinstance(v, int) and v != number for number, v in enumerate(self.values))

    def numbers(self, values: pa.Array) -> NDArray[np.int64]:
        """Return the class number of each value that ``label_values`` returned."""
        values = pc.replace_substring_regex(values, _ZEROS, "") if self.whole_floats else values
        table = pa.array(self.values, values.type)
        return pc.index_in(values, table).cast(pa.int64()).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def label_values(column: pa.Array, place: str) -> tuple[pa.Array, BadRows]:
    """Convert a label column to whole numbers or to text, and find the rows without a usable label.

    Args:
        column: The column.
        place: Name of file and column, for errors.

    Returns:
        Array of int64 or strings, null where a row has no usable label, and these rows.

    Raises:
        DataError: Values of this type are no labels.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind, bad = column.type, dict[str, NDArray[np.int64]]()
    missing = pc.is_null(column, nan_is_null=True)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = pc.cast(column, pa.float64())
        whole = pc.fill_null(pc.equal(pc.floor(numbers), numbers), False)
        fits = pc.and_(whole, pc.fill_null(pc.less(pc.abs(numbers), 2.0**63), False))
        bad["rows have a label that is no whole number"] = _rows(pc.and_not(pc.invert(fits), missing))
        column = pc.if_else(fits, numbers, None).cast(pa.int64())
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        if kind == pa.uint64():
            bad["rows have a label beyond 64 bits with sign"] = _rows(
                pc.fill_null(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64())), False)
            )
        column = column.cast(pa.int64(), safe=False)
    elif is_text(kind):
        column = _text(column)
        missing = pc.or_(missing, pc.fill_null(pc.equal(column, ""), False))
        column = pc.if_else(missing, None, column)
    elif pa.types.is_null(kind):
        column = column.cast(pa.int64())
    elif is_list(kind):
        raise DataError(f"{place} holds lists ({kind}): a row must have one label; write one of them to a column.")
    else:
        raise DataError(f"{place}: labels must be whole numbers or text, not {kind}.")
    return column, {"rows have no label": _rows(missing), **bad}


def _text(column: pa.Array) -> pa.Array:
    """Return texts without spaces around them, in one normal form, so that an accented name is one class."""
    encoded = pc.utf8_trim_whitespace(column.cast(pa.string())).dictionary_encode()
    # Not Arrow's utf8_normalize, which returns NFD when asked for NFC.
    normal = [unicodedata.normalize("NFC", text) for text in encoded.dictionary.to_pylist()]
    return pa.array(normal, pa.string()).take(encoded.indices)


def _rows(mask: pa.Array) -> NDArray[np.int64]:
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False))


def classes_of(values: Sequence[int | str], names: Sequence[str] | None, place: str) -> Classes:
    """Number the classes: whole numbers by size, text by the alphabet (by size if all is whole numbers, ``2.0`` too).

    Args:
        values: The distinct values.
        names: Names of the classes 0, 1, ..., where the file has them (a ClassLabel of Hugging Face).
        place: Name of the source and column, for errors.

    Returns:
        The classes.

    Raises:
        DataError: There are too many classes.
    """
    if names and all(v in range(len(names)) if isinstance(v, int) else v in names for v in values):
        named = all(isinstance(v, str) for v in values) and len(values) > 0
        values = list(names) if named else list(range(len(names)))
        return Classes(tuple(names), tuple(values))
    if len(values) > MAX_CLASSES:
        raise DataError(
            f"{place} has {len(values)} distinct values; at most {MAX_CLASSES} classes are possible. Is it an id?"
        )
    texts = [v for v in values if isinstance(v, str)]
    is_numbers = all(isinstance(v, int) or _WHOLE.fullmatch(v) for v in values)
    whole_floats = is_numbers and any("." in text for text in texts)
    values = list({text.partition(".")[0] for text in texts}) if whole_floats else values
    ordered = sorted(values, key=lambda v: (int(v), str(v)) if is_numbers else (0, str(v)))
    return Classes(tuple(str(v) for v in ordered), tuple(ordered), whole_floats)
