from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from cu_core.evidence import Evidence
from pipelines.audits import calibrate
from pipelines.audits.calibrate import DRAWS, HEADINGS, Judged, _cells, _check, judge_all, limits_of, markdown, table
from pipelines.audits.calibrate_models import Amounts, Sort
from tests.conftest import small


def test_amounts_that_cannot_be_are_refused(digits: Path, storage: Path) -> None:
    config = small(digits, storage, audit={"oracles": 6})
    _check(config, [5], Amounts(left=(1,), lost=(99,), noise=(300,)))
    for counts, amounts, said in (
        ([2], Amounts(), "at least 3"),
        ([6], Amounts(), "audit.oracles=12"),
        ([5], Amounts(left=(0,)), "--left"),
        ([5], Amounts(lost=(100,)), "--lost"),
        ([5], Amounts(noise=(-1,)), "--noise"),
        ([5], Amounts(replicates=7), "--replicates"),
    ):
        with pytest.raises(ConfigError, match=said):
            _check(config, counts, amounts)


def test_limits_count_what_was_told_of_each_kind(digits: Path, storage: Path) -> None:
    config = replace(small(digits, storage))

    def row(what: str, percent: float, told: int, under: int, oracles: int = 5) -> Judged:
        words = {"under-forgotten": under, "over-forgotten": told - under, "indistinguishable": 10 - told}
        return Judged(Sort(what, percent, {"one": Path()}), oracles, words, told)  # type: ignore[arg-type]

    judged = [
        row("held-out oracle", 0, 1, 0),
        row("left in", 10, 9, 8),
        row("left in", 50, 10, 10),
        row("retain rows lost", 25, 3, 0),
        row("noise on weights", 5, 4, 1),
        row("held-out oracle", 0, 7, 0, oracles=3),
    ]
    limits = limits_of(judged, 5, config)
    assert (limits.oracles, limits.false_alarms, limits.detected) == (5, (1, 10), 10)
    assert limits.left == {10: (8, 10), 50: (10, 10)}
    assert (limits.lost, limits.noise) == ({25: (3, 10)}, {5: (4, 10)})
    assert np.isclose(limits.family_error, 0.05)


def test_a_value_that_is_given_twice_is_refused(digits: Path, storage: Path) -> None:
    config = small(digits, storage, audit={"oracles": 7})
    for counts, amounts, name in (
        ([5, 5], Amounts(), "--against 5 5"),
        ([5], Amounts(left=(1, 2, 1)), "--left 1 2 1"),
        ([5], Amounts(lost=(3, 3)), "--lost 3 3"),
        ([5], Amounts(noise=(4, 4)), "--noise 4 4"),
    ):
        with pytest.raises(ConfigError, match=f"{name}: a value is given twice"):
            _check(config, counts, amounts)


@dataclass(frozen=True)
class Asked(Evidence):
    """Evidence that gives, in place of figures, what was asked for."""

    def figures(self, role: str, references: Sequence[str]) -> Any:
        return role, tuple(references)


def test_a_model_is_judged_by_oracles_other_than_itself_and_the_one_it_was_made_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def judge(before: Any, after: Any, rule: Any, without: Any) -> SimpleNamespace:
        seen.append((before, after, rule))
        return SimpleNamespace(word="inconclusive", outside=("x",) if after[0] == "noisy" else ())

    monkeypatch.setattr(calibrate, "Rule", lambda claim, figures, config: figures)
    monkeypatch.setattr(calibrate, "judge", judge)
    plan: Any = SimpleNamespace(config=RunConfig())
    claim: Any = None
    oracles = [f"oracle_{i}" for i in range(5)]
    sorts = [
        Sort("held-out oracle", 0, {o: Path() for o in oracles}),
        Sort("noise on weights", 5, {"noisy": Path()}, {"noisy": "oracle_2"}),
    ]
    evidence = Asked(claim, plan.config.audit, {}, {})
    held_out, noise = judge_all(plan, evidence, sorts, oracles, 3)
    assert (held_out.count, held_out.told, held_out.oracles) == (5 * DRAWS, 0, 3)
    assert (noise.count, noise.told, dict(noise.words)) == (DRAWS, DRAWS, {"inconclusive": DRAWS})
    for (original, before), (role, against), figures in seen:
        assert (original, before) == ("original", against)
        assert len(set(against)) == 3
        assert {*against} <= {*oracles} - {role, "oracle_2" if role == "noisy" else role}
        assert figures == [(oracle, against) for oracle in against]
    assert len({against for _, (role, against), _ in seen if role == "noisy"}) > 1  # drawn anew each time
    again = list(seen)
    seen.clear()
    judge_all(plan, evidence, sorts, oracles, 3)
    assert seen == again


def judged() -> Judged:
    words: Any = {"under-forgotten": 5, "over-forgotten": 2, "indistinguishable": 13}
    return Judged(Sort("left in", 2.5, {"a": Path(), "b": Path()}), 5, words, 10)


def test_shares_are_of_judgements_and_the_interval_is_over_models() -> None:
    """Half of 2 models, by hand: Wilson's interval with z = 1.96 is 0.5 +- 0.5 * z / sqrt(2 + z^2)."""
    half = 0.5 * 1.959964 / np.sqrt(2 + 1.959964**2)
    low, high = (round(100 * (0.5 + sign * half)) for sign in (-1, 1))
    assert (judged().count, len(HEADINGS)) == (20, 9)
    assert _cells(judged()) == ["left in", "2.5", "5", "2", f"50% ({low} to {high})", "25%", "10%", "0%", "65%"]


def test_tables_have_a_row_for_each_kind(class_config: RunConfig) -> None:
    shown = table([judged(), judged()])
    assert (shown.row_count, [c.header for c in shown.columns]) == (2, list(HEADINGS))
    assert f"percent of {DRAWS} judgements" in str(shown.caption)
    text = markdown([judged()], class_config)
    assert text.startswith("```\ncu ")  # else a second calibration would not replace it
    assert "| left in | 2.5 | 5 | 2 |" in text
    assert "Stated error of a verdict: 5%" in text
