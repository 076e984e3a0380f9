"""One file of a table, or the rows of it that are of one split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cu_core.data.schema import Split

Columns = Sequence[str] | None


@dataclass(frozen=True)
class TableFile:
    """One file of a table."""

    name: str
    """Relative to the source, for messages and hashes."""
    split: Split | None
    """Split in its name, if any."""
    num_rows: int
    schema: pa.Schema
    read: Callable[[Columns], Iterator[pa.RecordBatch]]
    """Streams the columns (``None``: all)."""
    numbers: NDArray[np.int64] | None = None
    """Number of each row for messages; absent: from 0."""

    def rows(self, first: int, count: int) -> Sequence[int]:
        """Return the numbers of rows for messages."""
        if self.numbers is None:
            return range(first, first + count)
        return self.numbers[first : first + count].tolist()  # type: ignore[no-any-return]
