"""What captions and images find in the original, the unlearned model and an oracle, side by side."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

ROLES = ("original", "unlearned", "oracle_0")
TITLES: Mapping[str, str] = {
    "forgotten": "Forgotten",
    "neighbouring": "Neighbouring: retained, and shares captions or words with what is forgotten",
    "retained": "Retained, drawn at random",
}


@dataclass(frozen=True)
class Answer:
    """One thing that was found."""

    text: str
    thumb: str
    """Data URI; empty for a caption."""
    hit: bool


@dataclass(frozen=True)
class Search:
    """A search in each of the models."""

    query: str
    thumb: str
    """Data URI of the image that searches; empty if the caption does."""
    answers: Mapping[str, Sequence[Answer]]
    """By role."""


def searches(samples: pd.DataFrame) -> dict[str, list[Search]]:
    """The searches of the table of samples, by title; empty for models other than image-text models."""
    if "search" not in samples:
        return {}
    found: dict[str, list[Search]] = {}
    rows = samples[samples["search"].notna() & samples["role"].isin(ROLES)]
    for kind, title in TITLES.items():
        of_kind = rows[rows["search"] == kind]
        for (query, finds), part in of_kind.groupby(["query", "finds"], sort=False):
            thumb = _uri(part["query_thumb"].iloc[0]) if finds == "captions" else ""
            answers = {
                role.replace("_0", ""): [_answer(row) for row in own.sort_values("rank").itertuples()]
                for role in ROLES
                if len(own := part[part["role"] == role])
            }
            found.setdefault(title, []).append(Search(str(query), thumb, answers))
    return found


def _answer(row: object) -> Answer:
    thumb = getattr(row, "thumb", None)
    return Answer(str(row.answer), _uri(thumb) if isinstance(thumb, bytes) else "", bool(row.hit))  # type: ignore[attr-defined]


def _uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
