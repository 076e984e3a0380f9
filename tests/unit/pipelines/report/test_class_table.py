"""Reports of many classes: bounded, and the worst first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cu_core.audit.report import AuditReport
from cu_core.config import RunConfig
from cu_core.types import MetricResult
from pipelines.report import plots
from pipelines.report.class_table import class_rows, has_many, worst_classes
from tests.unit.pipelines.reports import report


def many(count: int, oracles: int = 2) -> AuditReport:
    """Class c: original 90, unlearned 80, or 80 - c for every tenth class; oracles 79 and 81. Class 7 gets c percent of
    the forgotten rows."""

    def figures(value: dict[int, float]) -> dict[int, MetricResult]:
        return {c: MetricResult(value[c], 5) for c in range(count)}

    unlearned = {c: 80.0 - (c / 20 if c % 10 == 0 else 0) for c in range(count)}
    per_class = {"original": figures(dict.fromkeys(range(count), 90.0)), "unlearned": figures(unlearned)}
    per_class |= {f"oracle_{n}": figures(dict.fromkeys(range(count), 79.0 + 2 * n)) for n in range(oracles)}
    received = [c / 10 for c in range(count)]
    return replace(
        report(RunConfig()),
        class_names=tuple(f"class {c}" for c in range(count)),
        per_class=per_class,
        received=dict.fromkeys(per_class, received),
        sizes={"forget_set": 10, "retain_set": 90},
    )


def test_the_classes_that_differ_most_from_the_oracles_come_first() -> None:
    rows = class_rows(many(100))
    assert [row.number for row in rows[:10]] == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]
    first = rows[0]
    assert (first.name, first.rows, first.original, first.unlearned) == ("class 90", 5, 90, 75.5)
    assert (first.oracle, first.difference, first.received) == (80, -4.5, 9)
    assert len(rows) == 100


def test_without_oracles_they_differ_from_the_original() -> None:
    rows = class_rows(many(60, oracles=0))
    assert (rows[0].number, rows[0].oracle, rows[0].difference) == (50, None, -12.5)


@pytest.mark.parametrize(("count", "bounded"), [(49, False), (50, True), (1000, True)])
def test_plots_of_many_classes_show_forty(count: int, bounded: bool) -> None:
    found = many(count)
    assert has_many(found) == bounded
    picture = plots.class_change(found)
    names = [name for name in found.class_names if f">{name}<" in picture]
    assert len(names) == 40
    assert (names == list(found.class_names[:40])) == (count == 49)
    if bounded:
        assert [found.class_names.index(name) for name in names] == worst_classes(found)
        assert f"class {count - 10}" in names
        picture = plots.received(found)
        assert [name for name in found.class_names if f">{name}<" in picture] == list(found.class_names[-40:])
