"""The setting that every kind of request has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class CopiesSetting:
    """What a request does about copies of its rows."""

    kind: str
    duplicates: Literal["ignore", "report", "include"] = "ignore"
    """Copies of forget rows among the other training rows, by pixels and by perceptual hash. ``ignore``: not looked
    for. ``report``: the run says how many stay in the retain set. ``include``: they are forgotten too. The last two
    read every training image once."""
