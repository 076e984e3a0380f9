from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

from cu_core.workspace import Workspace
from tests.conftest import small


def test_what_is_opened_alike_is_opened_once(digits: Path, class_request: Path, tmp_path: Path) -> None:
    config = small(digits, tmp_path)
    asked = Workspace(config, class_request)
    split = asked.split
    assert asked.for_request(None).reader is asked.reader
    assert asked.for_request(None).split.num_retain == split.num_retain + len(split.forget.rows)

    same_sets = asked.with_config(replace(config, optimizer=replace(config.optimizer, lr=0.5)))
    assert same_sets.split is split
    other_sets = asked.with_config(replace(config, seed=config.seed + 1))
    assert other_sets.reader is asked.reader
    assert other_sets.split.seed == config.seed + 1
    other_data = asked.with_config(replace(config, data=replace(config.data, half=0)))
    assert other_data.reader.num_rows("train") < asked.reader.num_rows("train")


def test_what_is_open_does_not_travel(digits: Path, class_request: Path, tmp_path: Path) -> None:
    asked = Workspace(small(digits, tmp_path), class_request)
    want = asked.split.num_retain
    there = pickle.loads(pickle.dumps(asked))
    assert vars(there) == {"config": asked.config, "forget_file": class_request}
    assert there.split.num_retain == want
