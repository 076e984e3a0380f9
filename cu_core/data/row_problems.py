"""What is wrong with the rows of a source, collected so that all of it is refused in one go."""

from __future__ import annotations

from collections.abc import Iterable

from cu_core.errors import DataError

SHOWN = 8
"""Places that are listed for each kind of problem; the others are counted."""


class RowProblems:
    """Collects problems by kind, with the first places of each."""

    def __init__(self, source: str):
        self.source = source
        self._places: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, kind: str, place: str, rows: Iterable[int] | None = None) -> None:
        """Record a problem.

        Args:
            kind: What is wrong, as in "have no label".
            place: The file, or what else is wrong.
            rows: Rows of the file. Default: the problem is the place itself.
        """
        for row in rows if rows is not None else (None,):
            count = self._counts.get(kind, 0)
            self._counts[kind] = count + 1
            if count < SHOWN:
                self._places.setdefault(kind, []).append(place if row is None else f"{place} row {row}")

    def __bool__(self) -> bool:
        return bool(self._counts)

    def refuse(self, hint: str = "") -> None:
        """Raise an error that names everything, if there is anything.

        Raises:
            DataError: There are problems.
        """
        if not self._counts:
            return
        parts = []
        for kind, count in self._counts.items():
            more = f" and {count - SHOWN} more" if count > SHOWN else ""
            parts.append(f"{count} {kind}: {', '.join(self._places[kind])}{more}")
        raise DataError(f"{self.source}: {'; '.join(parts)}.{' ' + hint if hint else ''} Nothing was written.")
