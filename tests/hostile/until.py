"""Random inputs, one after the other, until the time is over."""

from __future__ import annotations

import time
from collections.abc import Callable


def run_until(seconds: float, seed: int, module: str, try_one: Callable[[int], object]) -> int:
    """Try the inputs numbered from ``seed`` for a time.

    Returns: how many were tried. Raises: AssertionError if one was neither read nor refused in one line; the message
    says how to repeat it.
    """
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            try_one(seed + tried)
        except Exception as error:
            raise AssertionError(
                f"input {seed + tried}: {type(error).__name__}: {str(error)[:500]}; repeat it with: python -c "
                f"'from tests.hostile.{module} import try_one; try_one({seed + tried})'"
            ) from error
        tried += 1
    return tried
