from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.data.forget_split import ForgetSplit
from cu_core.data.requests import ByRandom, load_forget_set, resolve_request
from cu_core.data.shard_reader import ShardReader


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_tuning_looks_at_the_stop_set_alone(
    kind: str, reader: ShardReader, class_request: Path, sample_request: Path
) -> None:
    request = load_forget_set(class_request if kind == "class" else sample_request, reader.manifest.digest)

    def split(tuning: bool) -> ForgetSplit:
        return ForgetSplit(reader, request, seed=0, stop_rows=500, max_rows=300, tuning=tuning)

    reported, tuned = split(False), split(True)
    stop_rows = np.concatenate([tuned.stop_forget.rows, tuned.stop_retain.rows])
    for name in ("forget_test", "retain_test", "holdout"):
        rows = getattr(tuned, name)
        assert rows.split == "val"
        assert np.isin(rows.rows, stop_rows).all()
        assert not len(rows.rows) or getattr(reported, name).split == ("val" if name == "holdout" else "test")
    assert not np.isin(reported.holdout.rows, stop_rows).any()
    if kind == "sample":
        np.testing.assert_array_equal(tuned.forget_reported.rows, reported.forget_stop.rows)
        assert not np.isin(tuned.forget_reported.rows, reported.forget_reported.rows).any()


def test_a_few_rows_all_decide_and_are_all_reported(reader: ShardReader) -> None:
    few = resolve_request(ByRandom(kind="by_random", count=1), reader)
    split = ForgetSplit(reader, few, seed=0, stop_rows=500, max_rows=300)
    assert len(split.forget_stop) == len(split.forget_reported) == 1
