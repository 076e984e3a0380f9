"""What a report records beside its figures; the figures have tests of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cu_core.audit.limits import Limits
from cu_core.config import RunConfig
from cu_core.data.requests import ForgetSet, load_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import UserError
from cu_core.files import write_text
from cu_core.run import Hooks, run_train, run_unlearn
from cu_core.run_audit import LIMITS, _cost, _curves, _sizes, limits_file, read_limits, run_audit
from cu_core.workspace import Workspace
from tests.conftest import small

UNLEARNED = {"steps": 5, "forget_rows": 30, "retain_rows": 70, "seconds": 2.5, "stop": {"rows": 11}}


def test_a_report_states_the_limits_that_were_measured_for_such_requests(
    digits: Path, reader: ShardReader, class_request: Path, sample_request: Path, tmp_path: Path
) -> None:
    quick = {"oracles": 0, "audits": ["accuracy", "membership"], "max_rows": 60}
    config = small(digits, tmp_path, train={"epochs": 0.1}, stop={"max_steps": 1, "rule": "none"}, audit=quick)
    folders = {"original": tmp_path / "original", "unlearned": tmp_path / "unlearned"}
    run_train(Workspace(config), folders["original"], Hooks())
    run_unlearn(Workspace(config, class_request), folders["original"], folders["unlearned"], Hooks())

    def stated() -> Limits | None:
        report = run_audit(Workspace(config, class_request), folders, [], torch.device("cpu"))
        return report.limits

    assert stated() is None
    limits = Limits(5, 0.05, (1, 40), {2.0: (7, 10), 10.0: (9, 10)}, {25.0: (3, 10)}, {})
    one, other = (load_forget_set(request, reader.manifest.digest) for request in (class_request, sample_request))
    write_text(limits_file(config, one, 5), LIMITS.dump_json(limits).decode())
    assert stated() is None  # this verdict is made by no oracle, not by five
    write_text(limits_file(replace(config, seed=3), one, 0), LIMITS.dump_json(limits).decode())  # whatever the seed
    assert stated() == limits
    assert not limits_file(config, other, 0).exists()


def forget_set(rows: int, kind: Any = "class", classes: tuple[int, ...] = (5,)) -> ForgetSet:
    ids = np.arange(rows, dtype=np.int64)
    return ForgetSet(kind, classes, ids, ids, "data")


def test_limits_are_shared_by_requests_of_one_kind_and_size(class_config: RunConfig) -> None:
    def name(forget: ForgetSet, oracles: int = 5) -> str:
        return limits_file(class_config, forget, oracles).name

    base = name(forget_set(64))
    assert name(forget_set(127)) == name(forget_set(64, classes=(3,))) == base  # sizes differ by less than a factor two
    others = [forget_set(63), forget_set(128), forget_set(64, classes=(5, 3)), forget_set(64, "sample", ())]
    assert len({base, name(forget_set(64), 6), *map(name, others)}) == 6


def test_limits_that_cannot_be_read_are_told(digits: Path, tmp_path: Path) -> None:
    config, forget = small(digits, tmp_path), forget_set(64)
    assert read_limits(config, forget) is None
    write_text(limits_file(config, forget, config.audit.oracles), "{")
    with pytest.raises(UserError, match="delete it and run cu calibrate again"):
        read_limits(config, forget)


def test_cost_is_that_of_the_run_beside_the_mean_of_the_retrainings() -> None:
    oracles = [{"retain_rows": 300, "seconds": 10.0}, {"retain_rows": 500, "seconds": 30.0}]
    assert _cost({**UNLEARNED, "frozen_rows": 3, "prepare_rows": 4}, oracles) == {
        "steps": 5,
        "forget_rows": 30,
        "retain_rows": 70,
        "frozen_rows": 3,
        "prepare_rows": 4,
        "stop_rows": 11,
        "seconds": 2.5,
        "retrain_rows": 400,
        "retrain_seconds": 20,
        "rows_frac": 0.25,
    }


def test_without_oracles_there_is_no_cost_of_retraining() -> None:
    alone = _cost({**UNLEARNED, "stop": {}}, [])
    assert not {"retrain_rows", "retrain_seconds", "rows_frac"} & alone.keys()
    assert (alone["frozen_rows"], alone["prepare_rows"], alone["stop_rows"]) == (0, 0, 0)


def test_curves_are_by_metric_and_role_with_that_of_a_model_that_was_not_trained() -> None:
    alone: Any = {
        role: SimpleNamespace(curves={"rebound": (n, 2.0)}) for n, role in enumerate(("original", "oracle_0"))
    }
    found = _curves(alone, {"rebound": (9.0, 8.0)})
    assert found == {"rebound": {"original": [0, 2.0], "oracle_0": [1, 2.0], "untrained": [9.0, 8.0]}}
    assert _curves(alone, {}) == {}


def test_sizes_of_the_sets_are_those_of_the_split(
    class_config: RunConfig, reader: ShardReader, class_request: Path
) -> None:
    split = Workspace(class_config, class_request).split
    sizes = _sizes(split)
    labels = reader.labels("train", np.arange(reader.num_rows("train")))
    assert sizes["forget_set"] == int((labels == 5).sum())
    assert sizes["retain_set"] == int((labels != 5).sum())
    test = reader.labels("test", np.arange(reader.num_rows("test")))
    assert (sizes["forget_test"], sizes["retain_test"]) == (int((test == 5).sum()), int((test != 5).sum()))
    assert sizes["retain_pool"] == split.num_retain
