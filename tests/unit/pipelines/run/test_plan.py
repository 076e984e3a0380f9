from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipelines.run import plan as plans
from pipelines.run.plan import make_plan
from tests.conftest import small


def test_data_are_opened_once_in_a_process_and_do_not_travel(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real = plans.open_reader
    monkeypatch.setattr(plans, "open_reader", lambda config: opened.append(config) or real(config))  # type: ignore[func-returns-value]
    plan = make_plan(small(digits, tmp_path))
    assert plan.split.reader is plan.reader
    assert len(opened) == 1
    there = pickle.loads(pickle.dumps(plan))
    assert not {"reader", "split"} & set(vars(there))
    assert (there.config, there.digest) == (plan.config, plan.digest)
    assert there.split.num_retain == plan.split.num_retain
    assert len(opened) == 2
