from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from cu_core import workspace
from cu_core.data.forget_split import RowSet
from cu_core.data.set_hashes import told_sets
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError
from pipelines.run.plan import _check_sets, about_request, make_plan
from tests.conftest import small


def test_data_are_opened_once_in_a_process_and_do_not_travel(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def read(*where: Any, half: int | None) -> ShardReader:
        opened.append(where)
        return ShardReader(*where, half=half)

    monkeypatch.setattr(workspace, "ShardReader", read)
    plan = make_plan(small(digits, tmp_path))
    assert plan.split.reader is plan.reader
    assert len(opened) == 1
    there = pickle.loads(pickle.dumps(plan))
    assert not {"reader", "split"} & set(vars(there.workspace))
    assert (there.config, there.digest) == (plan.config, plan.digest)
    assert there.split.num_retain == plan.split.num_retain
    assert len(opened) == 2


def test_a_plan_tells_what_it_forgets_and_rows_and_hash_of_every_set(digits: Path, tmp_path: Path) -> None:
    plan = make_plan(small(digits, tmp_path, request={"kind": "by_class", "classes": ["2"]}))
    told = about_request(plan).split("\n")
    assert told[1] == "forgets class 2, '2'"
    assert told[2] == told_sets(plan.hashes)
    assert f"forget {len(plan.forget.rows)} rows {plan.hashes['forget'].hash}, retain" in told[2]


def test_what_a_request_leaves_undecided_is_told(digits: Path, tmp_path: Path) -> None:
    request = {"kind": "by_predicate", "where": "label == 3 and sample_id < 900"}
    told = about_request(make_plan(small(digits, tmp_path, request=request, method={"name": "finetune"}))).split("\n")
    assert told[1:3] == ["0 rows have no label: not matched", "0 rows have no sample_id: not matched"]


def test_a_run_that_asks_for_terabytes_is_refused_before_a_model_is_made(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model: needs .* GiB of memory at least"):
        make_plan(small(digits, tmp_path, model={"name": "resnet18", "width": 65536}))


@pytest.mark.parametrize("classes", [[3], [5, 3]])
def test_each_forgotten_class_needs_rows_that_were_not_trained_on(
    classes: list[int], tmp_path: Path, digits: Path
) -> None:
    """Without rows of class 3 nothing would decide when it is forgotten."""
    plan = make_plan(small(digits, tmp_path, request={"kind": "by_class", "classes": classes}))
    split = plan.split
    keep = split.reader.labels(split.stop_forget.split, split.stop_forget.rows) != 3
    split.__dict__["stop_forget"] = RowSet(split.stop_forget.split, split.stop_forget.rows[keep])
    with pytest.raises(ConfigError, match="the stop set of the forgotten class '3' is empty"):
        _check_sets(split)
