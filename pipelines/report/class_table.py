"""Test accuracy of single classes where there are too many for a plot: the worst first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cu_core.audit.report import AuditReport
from cu_core.data.forget_split import MANY_CLASSES

SHOWN = 40
"""Classes in a plot, and in the table before a search."""


@dataclass(frozen=True)
class ClassRow:
    """One class; accuracies in percent."""

    number: int
    name: str
    rows: int
    """Test rows behind an accuracy."""
    original: float
    unlearned: float
    oracle: float | None
    """Mean of the oracles."""
    received: float | None
    """Percent of the unseen rows of the forgotten classes that the unlearned model gives to it."""

    @property
    def difference(self) -> float:
        """Unlearned minus oracles, or without oracles minus original."""
        return self.unlearned - (self.original if self.oracle is None else self.oracle)


def has_many(report: AuditReport) -> bool:
    """Whether the report has too many classes to show all."""
    return len(report.class_names) >= MANY_CLASSES


def class_rows(report: AuditReport) -> list[ClassRow]:
    """Return the classes with test rows, those with the largest difference first."""
    figures, given = report.per_class, report.received.get("unlearned")
    oracles = [role for role in figures if role.startswith("oracle_")]
    rows = [
        ClassRow(
            number,
            report.class_names[number],
            unlearned.count,
            figures["original"][number].value,
            unlearned.value,
            float(np.mean([figures[role][number].value for role in oracles])) if oracles else None,
            given[number] if given is not None else None,
        )
        for number, unlearned in figures["unlearned"].items()
    ]
    return sorted(rows, key=lambda row: (-abs(row.difference), row.number))


def worst_classes(report: AuditReport) -> list[int]:
    """Return the ``SHOWN`` classes with the largest difference, by number."""
    return sorted(row.number for row in class_rows(report)[:SHOWN])
