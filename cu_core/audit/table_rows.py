"""Rows of the tables of audits and metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from cu_core.audit.answers import Answers
from cu_core.audit.subject import AuditName, Findings, Subject
from cu_core.types import MetricResult, RequestKind

Alone = Callable[[Subject], Findings]
Against = Callable[[Answers, Sequence[Answers]], dict[str, MetricResult]]
"""Answers of a model and of the oracles it is compared with."""
Between = Callable[[Answers, Sequence[Answers], Answers], dict[str, MetricResult]]
"""The same, and answers of the original."""
CLASS: tuple[RequestKind, ...] = ("class",)
SAMPLE: tuple[RequestKind, ...] = ("sample",)
ALL: tuple[RequestKind, ...] = ("class", "sample")


@dataclass(frozen=True)
class Audit:
    """A row of the AUDITS table; at least one of ``alone``, ``against`` and ``between`` is given."""

    title: str
    question: str
    alone: Alone | None = None
    against: Against | None = None
    between: Between | None = None
    kinds: tuple[RequestKind, ...] = ALL
    pairs_only: bool = False
    """Whether it finds something in image-text models only."""
    encoders_only: bool = False
    """Whether it finds something only in models that were trained by contrast (``train.objective``)."""
    classifiers_only: bool = False
    """Whether it finds something in classifiers only."""
    needs_classes: bool = True
    """Whether pairs without classes have nothing that it could measure."""
    on_request: bool = False
    """Whether it is made only if ``audit.more_audits`` names it."""


@dataclass(frozen=True)
class Metric:
    """A row of the METRICS table."""

    audit: AuditName
    """The audit that computes it."""
    title: str
    side: Literal["forget", "projection", "utility", "distance", "damage"]
    """``forget``: lower means that more was forgotten; ``projection``: the same, measured from the other oracles;
    ``utility``: lower means that more was damaged; ``damage``: higher means so; ``distance``: from the oracles, only
    too large is wrong."""
    kinds: tuple[RequestKind, ...] = ALL
    scale: float = 1.0
    """Factor to points (0..100)."""
    in_gap: bool = False
    """Whether it enters the mean oracle gap."""
    judged: tuple[RequestKind, ...] = ()
    """Requests whose verdict it enters; the others describe. Fixed before any figure is seen."""
    weight: float = 1.0
    """Relative share of the family error among the primary metrics; larger for the most sensitive metric."""
    towards: str | None = None
    """A distance has no direction. If this metric also lies above the oracles', the distance points to the original."""
    by_language: bool = False
    """Whether it is also made for each of ``audit.languages``, which describes."""
    by_class: bool = False
    """Whether it is also made for each forgotten class by itself, and then judged by class, where there are several."""

    def points(self, result: MetricResult) -> float:
        """Convert a result to points."""
        return self.scale * result.value
