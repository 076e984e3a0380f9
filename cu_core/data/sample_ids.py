"""The sample_id of a row: the user's own id where there is one, else a hash of a name or of the image."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cu_core.data.arrow_types import is_bytes, is_text
from cu_core.data.order import hash64
from cu_core.errors import DataError

OWN_ID = "own_id"
"""Key in ``Manifest.columns`` of the column of the user's ids, where ``sample_id`` is made from them; also the column's
name where theirs is called sample_id."""
Ids = NDArray[np.int64]


def hashed_id(content: str | bytes) -> int:
    """Return a sample_id, 0 to 2^63 - 1, made of a text or of bytes: the first 63 bits of its SHA-256."""
    raw = content.encode() if isinstance(content, str) else content
    return int.from_bytes(hashlib.sha256(raw).digest()[:8], "big") >> 1


def hashed_ids(values: Iterable[str | bytes]) -> Ids:
    """Return the sample_ids made of texts or bytes, int64 (N,)."""
    return np.fromiter((hashed_id(value) for value in values), np.int64)


def id_texts(column: pa.Array, place: str) -> pa.Array:
    """Convert a column of ids of any kind to text, one for each row; absent ids stay absent.

    Whole numbers of any width, whole floats, text, UUIDs and binary ids are ids.

    Args:
        column: The column.
        place: Name of file and column, for errors.

    Returns:
        Array of strings.

    Raises:
        DataError: Values of this type are no ids.
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column, kind = column.storage, column.type.storage_type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_floating(kind):
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise DataError(f"{place}: ids must be whole numbers or text: {error}.") from error
        kind = column.type
    if pa.types.is_fixed_size_binary(kind) or is_bytes(kind):
        return pa.array([None if v is None else _binary_text(v) for v in column.to_pylist()], pa.string())
    if pa.types.is_integer(kind) or is_text(kind):
        return column.cast(pa.string())
    raise DataError(f"{place}: ids must be whole numbers, text or UUIDs, not {kind}.")


def _binary_text(value: bytes) -> str:
    return str(uuid.UUID(bytes=value)) if len(value) == 16 else value.hex()


def whole_numbers(texts: pa.Array) -> Ids | None:
    """Return the ids as numbers if each is a whole number of 64 bits as it is usually written, else ``None``."""
    if texts.null_count:
        texts = texts.drop_null()
    if not pc.all(pc.match_substring_regex(texts, r"^(0|-?[1-9][0-9]{0,18})$")).as_py():
        return None if len(texts) else np.empty(0, np.int64)
    try:
        return texts.cast(pa.int64()).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    except pa.ArrowInvalid:  # beyond 64 bits
        return None


def repeated(ids: Sequence[Ids]) -> Ids:
    """Return the ids that occur more than once over several arrays, ascending."""
    ordered = np.sort(np.concatenate([np.empty(0, np.int64), *ids]))
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


class ContentIds:
    """Makes a sample_id of each image; images that are equal byte by byte are numbered in their order."""

    def __init__(self) -> None:
        self.num_repeated = 0
        self._runs: list[Ids] = []

    def of(self, images: Sequence[bytes]) -> Ids:
        """Return the sample_ids of the next images."""
        ids = hashed_ids(images)
        order = np.argsort(ids, kind="stable")
        ordered = ids[order]
        earlier = np.empty(len(ids), np.int64)
        earlier[order] = np.arange(len(ids)) - np.searchsorted(ordered, ordered)
        for run in self._runs:
            earlier += np.searchsorted(run, ids, side="right") - np.searchsorted(run, ids)
        self._keep(ordered)
        again = np.flatnonzero(earlier)
        self.num_repeated += len(again)
        for row in again:
            ids[row] = int(hash64(ids[row : row + 1], int(earlier[row]))[0]) >> 1
        return ids

    def _keep(self, ordered: Ids) -> None:
        """Keep sorted arrays, each longer than twice the next, so that there are few of them."""
        self._runs.append(ordered)
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]))
