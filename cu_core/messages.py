"""What came, as a message shows it: one line of bounded length, whatever it is."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable

LONGEST_SHOWN = 80
MOST_SHOWN = 5


def shown_value(value: object) -> str:
    """Return a value as a message shows it, cut to ``LONGEST_SHOWN`` characters."""
    if isinstance(value, int) and abs(value) >= 10**LONGEST_SHOWN:  # Python does not write very long numbers
        return f"a number of {value.bit_length()} bits"
    text = repr(value[: 2 * LONGEST_SHOWN]) if isinstance(value, str | bytes) else reprlib.repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def shown_some(values: Iterable[object]) -> str:
    """Return the first ``MOST_SHOWN`` values, and how many more there are."""
    found = list(values)
    more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    return ", ".join(shown_value(v) for v in found[:MOST_SHOWN]) + more


def reason_of(error: BaseException, most: int = 200) -> str:
    """Return the first line of what an error says, or its class if it says nothing."""
    said = str(error).strip() or type(error).__name__
    return said.partition("\n")[0][:most]
