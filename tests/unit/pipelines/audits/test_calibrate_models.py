from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cu_core.data.requests import load_forget_set
from cu_core.errors import ConfigError
from cu_core.run import open_reader
from pipelines.audits.calibrate import Judged, _check, limits_of
from pipelines.audits.calibrate_models import Amounts, Sort, _partly_trained
from pipelines.run.plan import make_plan
from tests.conftest import small


def test_what_is_left_in_and_lost_is_what_was_asked_for(digits: Path, storage: Path) -> None:
    config = small(digits, storage, request={"kind": "by_random", "count": 40, "seed": 3})
    plan = make_plan(config)
    asked = plan.forget.rows
    found = _partly_trained(plan, Amounts(left=(25, 50), lost=(10,), replicates=2))
    assert [(what, percent, len(jobs)) for what, percent, jobs in found] == [
        ("left in", 25, 2),
        ("left in", 50, 2),
        ("retain rows lost", 10, 2),
    ]
    unseen = [[load_forget_set(j.forget_file, plan.forget.data_digest).rows for j in jobs] for _, _, jobs in found]
    num_retain = open_reader(plan.config).num_rows("train") - 40
    for (quarter, half), lost in zip(zip(unseen[0], unseen[1], strict=True), unseen[2], strict=True):
        assert (len(quarter), len(half)) == (30, 20)
        assert set(half) < set(quarter) < set(asked)  # more is left of the same rows
        assert set(asked) < set(lost)
        assert len(lost) == 40 + round(num_retain / 10)
    assert set(unseen[0][0]) != set(unseen[0][1])
    jobs = [job for _, _, part in found for job in part]
    assert len({job.folder for job in jobs}) == len({job.number for job in jobs}) == len({j.label for j in jobs}) == 6
    assert min(job.number for job in jobs) == config.audit.oracles  # no oracle shares an initialisation with them


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
