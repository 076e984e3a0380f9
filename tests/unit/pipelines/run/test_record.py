"""Figures and models that a run leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cu_core.audit.oracle_gap import OracleGap
from cu_core.config_io import config_from
from pipelines.run import record
from pipelines.run.plan import make_plan
from tests.conftest import small
from tests.unit.pipelines.reports import COST, report


def test_figures_are_those_of_every_model_with_the_mean_of_the_oracles() -> None:
    one = report(config_from({}))
    row = replace(one.rows[0], original=90.0, unlearned=10.0, oracles=(4.0, 7.0))
    alone = replace(one.rows[1], original=80.0, unlearned=70.0, oracles=())
    gap = OracleGap({"forget_accuracy": -4.5}, 4.5, None)
    found = record.figures(replace(one, rows=(row, alone), gap=gap, leaks=2))
    assert found == {
        **{f"cost/{name}": value for name, value in COST.items()},
        "audit/forget_accuracy": 10.0, "audit/original/forget_accuracy": 90.0, "audit/oracle/forget_accuracy": 5.5,
        "audit/test_accuracy": 70.0, "audit/original/test_accuracy": 80.0,
        "oracle_gap": 4.5, "gap/forget_accuracy": -4.5, "leaks": 2.0,
    }  # fmt: skip
    assert "oracle_gap" not in record.figures(replace(one, gap=None))


def test_a_model_is_registered_with_the_shape_of_its_images(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(record.tracking, "register", lambda *given: asked.append(given) or "models:/m@swept")
    plan = make_plan(small(digits, tmp_path))
    assert record.register(plan, "run", "swept", tmp_path / "model", {"a": "b"}) == "models:/m@swept"
    ((config, run_id, role, folder, _, shape, tags),) = asked
    assert (config, run_id, role, folder, tags) == (plan.config, "run", "swept", tmp_path / "model", {"a": "b"})
    assert shape == tuple(plan.reader.images("train", np.arange(1)).shape[1:])
