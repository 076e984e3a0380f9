"""Mistakes of the user: a command prints each as one line and ends with status 2.

Every other exception is a bug and is shown with its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class UserError(ValueError):
    """Something that the user gave cannot be used; the message says what must hold, what came and what to do."""


class ConfigError(UserError):
    """A configuration that cannot be used."""


class DataError(UserError):
    """Stored data that cannot be used; the message names the shard and, where known, the row."""


class NotInTraining(UserError):
    """A request names rows that are not in the training split, or none at all."""


class DamagedFile(UserError):
    """A stored file is missing, truncated or does not match its checksum."""


class NonFiniteError(UserError):
    """A loss or gradient is not a number; the weights were not updated with it."""


SHOWN = 20
"""Problems that one message names."""


def listed(problems: Sequence[str]) -> str:
    """Return many problems as one sentence: their number, and the first of them."""
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return f"{len(problems)} in all: {'; '.join(p.rstrip('.') for p in problems[:SHOWN])}{more}."
