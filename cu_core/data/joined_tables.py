"""Tables of several shards as one, so that Arrow prepares an expression once for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

ROWS_AT_ONCE = 2**17
"""Rows to which an expression is applied at once."""


def joined(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield tables of about ``rows`` rows or more, without copies.

    Arrow prepares an expression anew for each table, which for a long list of ids takes longer than a shard.
    """
    held: list[pa.Table] = []
    for table in tables:
        if held and (sum(t.num_rows for t in held) >= rows or held[0].schema != table.schema):
            yield pa.concat_tables(held)
            held = []
        held.append(table)
    if held:
        yield pa.concat_tables(held)
