from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cu_core.data.forget_split import ForgetSplit, RowLimits
from cu_core.data.order import EpochOrder
from cu_core.data.requests import ByRandom, load_forget_set, resolve_request
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import DataError
from tests.unit.cu_core.data.test_order import split_mix
from tests.unit.cu_core.planted import PlantedReader, planted_split


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_tuning_looks_at_the_stop_set_alone(
    kind: str, reader: ShardReader, class_request: Path, sample_request: Path
) -> None:
    request = load_forget_set(class_request if kind == "class" else sample_request, reader.manifest.digest)

    def split(tuning: bool) -> ForgetSplit:
        return ForgetSplit(reader, request, seed=0, limits=RowLimits(500, 300), tuning=tuning)

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
    split = ForgetSplit(reader, few, seed=0, limits=RowLimits(500, 300))
    assert len(split.forget_stop) == len(split.forget_reported) == 1


LABELS = {"train": [0] * 40 + [1, 2] * 30, "val": [0, 1, 2] * 30, "test": [0, 1, 2] * 10}


def planted(kind: Any, **settings: Any) -> ForgetSplit:
    return planted_split(PlantedReader(**LABELS), kind, list(range(40)), **settings)


def halves(reader: Any, split: str) -> tuple[list[int], list[int]]:
    """Rows whose id hashes to an even and to an odd number under key 77."""
    rows = range(reader.num_rows(split))
    ids = reader.sample_ids(split, np.arange(reader.num_rows(split)))
    odd = [split_mix(int(i), 77) % 2 for i in ids]
    return [r for r in rows if not odd[r]], [r for r in rows if odd[r]]


@pytest.mark.parametrize("seed", [0, 1])
def test_val_is_halved_by_the_hash_of_the_id_for_every_seed(seed: int) -> None:
    split = planted("class", seed=seed)
    even, odd = halves(split.reader, "val")
    labels = LABELS["val"]
    assert split.stop_forget.rows.tolist() == [r for r in even if labels[r] == 0]
    assert split.stop_retain.rows.tolist() == [r for r in even if labels[r] != 0]
    assert split.holdout.rows.tolist() == odd
    assert {split.stop_forget.split, split.stop_retain.split, split.holdout.split} == {"val"}
    assert len(split.forget_stop) == 0
    assert split.forget_reported.rows.tolist() == split.forget_set.rows.tolist() == list(range(40))
    assert split.forget_test.rows.tolist() == [r for r in range(30) if r % 3 == 0]
    assert split.retain_test.rows.tolist() == [r for r in range(30) if r % 3]
    assert split.forget_test.split == split.retain_test.split == "test"


@pytest.mark.parametrize("seed", [0, 1])
def test_samples_are_halved_the_same_way_for_every_seed(seed: int) -> None:
    split = planted("sample", seed=seed)
    even, odd = halves(split.reader, "train")
    assert split.forget_stop.rows.tolist() == [r for r in even if r < 40]
    assert split.forget_reported.rows.tolist() == [r for r in odd if r < 40]
    assert (split.forget_stop.split, split.forget_reported.split) == ("train", "train")
    assert len(split.stop_forget) == len(split.forget_test) == 0
    assert split.stop_retain.rows.tolist() == halves(split.reader, "val")[0]
    assert split.retain_test.rows.tolist() == list(range(30))
    tuned = planted("sample", seed=seed, tuning=True)
    assert tuned.forget_reported.rows.tolist() == split.forget_stop.rows.tolist()


@pytest.mark.parametrize(("count", "halved"), [(19, False), (20, True)])
def test_twenty_rows_are_the_fewest_that_are_halved(count: int, halved: bool) -> None:
    split = planted_split(PlantedReader(**LABELS), "sample", list(range(count)))
    assert split.halved == halved
    assert (len(split.forget_stop) < count) == halved
    assert (split.forget_reported.rows.tolist() == split.forget_stop.rows.tolist()) != halved


def test_what_is_measured_is_cut_to_max_rows_and_drawn_with_the_seed() -> None:
    found = {seed: planted("class", max_rows=4, stop_rows=3, seed=seed) for seed in (0, 1)}
    for seed, split in found.items():
        even, odd = halves(split.reader, "val")
        labels = LABELS["val"]
        assert split.stop_forget.rows.tolist() == [r for r in even if labels[r] == 0][:3]
        assert split.stop_retain.rows.tolist() == [r for r in even if labels[r] != 0][:3]
        inside, outside = ([r for r in odd if (labels[r] == 0) == own] for own in (True, False))
        assert split.holdout.rows.tolist() == sorted([*inside, *outside[:4]])
        assert split.retain_train.rows.tolist() == sorted(40 + EpochOrder(60, seed + 101).at(0, 4))
        test = sorted(EpochOrder(30, seed + 202).at(0, 20))
        assert split.forget_test.rows.tolist() == [r for r in test if r % 3 == 0]
        assert split.retain_test.rows.tolist() == [r for r in test if r % 3]
    assert found[0].retain_train.rows.tolist() != found[1].retain_train.rows.tolist()
    assert found[0].retain_test.rows.tolist() != found[1].retain_test.rows.tolist()


def test_while_tuning_test_figures_are_those_of_the_stop_half() -> None:
    split = planted("class", tuning=True, max_rows=4)
    even, _ = halves(split.reader, "val")
    first = even[:20]
    assert split.forget_test.rows.tolist() == [r for r in first if LABELS["val"][r] == 0]
    assert split.retain_test.rows.tolist() == [r for r in first if LABELS["val"][r] != 0]
    inside, outside = ([r for r in even if (LABELS["val"][r] == 0) == own] for own in (True, False))
    assert split.holdout.rows.tolist() == sorted([*inside, *outside[:4]])


def test_leaks_are_counted_by_id() -> None:
    """Forget rows 0 to 39 have ids 3 to 42."""
    split = planted("class")
    assert split.count_leaks(np.array([2, 3, 42, 43, 3])) == 3
    assert split.num_retain == 60
    assert split.retain_rows(np.array([0, 59])).tolist() == [40, 99]


@pytest.mark.parametrize("gone", ["val", "test"])
def test_data_without_unseen_rows_is_refused(gone: str) -> None:
    with pytest.raises(DataError, match=f"no {gone} split"):
        planted_split(PlantedReader(**{**LABELS, gone: []}), "class", list(range(40)))
