from __future__ import annotations

from pathlib import Path

from cu_core.data.requests import load_forget_set
from cu_core.workspace import Workspace
from pipelines.audits.calibrate_models import Amounts, _partly_trained
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
    num_retain = Workspace(plan.config).reader.num_rows("train") - 40
    for (quarter, half), lost in zip(zip(unseen[0], unseen[1], strict=True), unseen[2], strict=True):
        assert (len(quarter), len(half)) == (30, 20)
        assert set(half) < set(quarter) < set(asked)  # more is left of the same rows
        assert set(asked) < set(lost)
        assert len(lost) == 40 + round(num_retain / 10)
    assert set(unseen[0][0]) != set(unseen[0][1])
    jobs = [job for _, _, part in found for job in part]
    assert len({job.folder for job in jobs}) == len({job.number for job in jobs}) == len({j.label for j in jobs}) == 6
    assert min(job.number for job in jobs) == config.audit.oracles  # no oracle shares an initialisation with them
