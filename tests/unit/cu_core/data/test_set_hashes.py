from __future__ import annotations

import hashlib
from dataclasses import asdict

import numpy as np
import pytest

from cu_core.data import set_hashes as module
from cu_core.data.forget_split import ForgetSplit, RowLimits
from cu_core.data.requests import ByClass, ByRandom, ForgetRequest, resolve_request
from cu_core.data.set_hashes import SetHash, hash_of, set_hashes, told_sets
from cu_core.data.shard_reader import ShardReader


def split_of(reader: ShardReader, request: ForgetRequest) -> ForgetSplit:
    forget = resolve_request(request, reader)
    return ForgetSplit(reader, forget, seed=0, limits=RowLimits(stop=50, measured=2000))


def test_the_hash_is_of_the_sorted_ids() -> None:
    expected = hashlib.sha256(np.array([3, 5, 2**40], "<i8").tobytes()).hexdigest()[:16]
    assert hash_of(np.array([5, 2**40, 3])) == expected


def test_every_set_of_a_run_has_its_rows_and_hash(reader: ShardReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 100)
    split = split_of(reader, ByClass(classes=(5,)))
    found = set_hashes(split)
    train = reader.sample_ids("train", np.arange(reader.num_rows("train")))
    retained = np.setdiff1d(train, split.forget.sample_ids)
    assert list(found) == ["forget", "retain", "stop", "holdout", "test"]
    assert found["forget"] == SetHash(len(split.forget.rows), hash_of(split.forget.sample_ids))
    assert found["retain"] == SetHash(len(retained), hash_of(retained))
    assert found["test"].rows == reader.num_rows("test")
    assert found["test"].hash == hash_of(reader.sample_ids("test", np.arange(reader.num_rows("test"))))
    assert found["stop"].rows == len(split.stop_forget) + len(split.stop_retain)
    assert len({one.hash for one in found.values()}) == 5


def test_another_request_changes_what_is_forgotten_and_retained_alone(reader: ShardReader) -> None:
    one, other = (set_hashes(split_of(reader, ByRandom(count=40, seed=seed))) for seed in (1, 2))
    assert {name for name in one if one[name] != other[name]} == {"forget", "retain"}


def test_retain_rows_at_an_address_are_not_fetched_for_a_hash(
    reader: ShardReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "address", lambda path: "s3://bucket/digits")
    retain = set_hashes(split_of(reader, ByClass(classes=(5,))))["retain"]
    assert retain.hash is None
    assert retain.rows > 0


def test_a_run_prints_them_in_one_line() -> None:
    assert told_sets({"a": SetHash(3, "ff"), "b": SetHash(4, None)}) == "sets: a 3 rows ff, b 4 rows"
    assert asdict(SetHash(3, "ff")) == {"rows": 3, "hash": "ff"}
