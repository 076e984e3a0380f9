from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cu_core.data.forget_split import ForgetSplit, RowLimits
from cu_core.data.order import EpochOrder
from cu_core.data.requests import ByClass, ByRandom, ForgetSet, load_forget_set, resolve_request
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


def test_figures_of_forget_rows_are_of_five_times_max_rows_at_most_drawn_with_the_seed() -> None:
    """40 forget rows: 20 are measured; of samples, 15 of the half that does not decide, and 3 of the other decide."""
    for seed in (0, 1):
        split = planted("class", max_rows=4, seed=seed)
        assert split.forget_measured.rows.tolist() == sorted(EpochOrder(40, seed + 103).at(0, 20))
        assert split.forget_reported.rows.tolist() == split.forget_measured.rows.tolist()
        split = planted("sample", max_rows=3, stop_rows=3, seed=seed)
        even, odd = ([r for r in half if r < 40] for half in halves(split.reader, "train"))
        assert min(len(even), len(odd)) > 15
        drawn = sorted(EpochOrder(len(odd), seed + 103).at(0, 15))
        assert split.forget_reported.rows.tolist() == [odd[n] for n in drawn]
        drawn = sorted(EpochOrder(len(even), seed + 103).at(0, 3))
        assert split.forget_stop.rows.tolist() == [even[n] for n in drawn]
        assert len(split.forget_measured) == 15


def test_of_many_classes_sorted_in_val_a_cut_set_has_most_of_them() -> None:
    """60 classes of 20 rows each, one class after the other: the first 50 rows would be of 5 classes in a half."""
    labels = [c for c in range(60) for _ in range(20)]
    reader = PlantedReader(train=labels, val=labels, test=labels)
    found = {s: planted_split(reader, "sample", [0, 1], max_rows=50, stop_rows=50, seed=s) for s in (0, 1)}
    for name in ("stop_retain", "holdout"):
        rows = getattr(found[0], name).rows
        assert len(rows) == 50
        assert len(set(reader.labels("val", rows).tolist())) > 25
        assert rows.tolist() == sorted(rows) == getattr(found[1], name).rows.tolist()
    tuned = planted_split(reader, "class", list(range(20)), max_rows=10, tuning=True)
    assert len(set(reader.labels("val", tuned.retain_test.rows).tolist())) > 25
    inside = planted_split(reader, "class", list(range(20)), max_rows=1).holdout
    assert sorted(reader.labels("val", inside.rows) == 0)[1:] == [True] * 5


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


@pytest.mark.parametrize("retain_shards", [None, 1])
def test_rows_that_were_forgotten_before_are_in_no_set(retain_shards: int | None, reader: ShardReader) -> None:
    before = resolve_request(ByClass(classes=(3,)), reader)
    now = resolve_request(ByClass(classes=(5,)), reader)
    forget = ForgetSet("class", (5,), now.rows, now.sample_ids, now.data_digest, before=before)
    split = ForgetSplit(reader, forget, seed=0, limits=RowLimits(500, 300), retain_shards=retain_shards)
    assert split.num_retain == split.num_train - len(before.rows) - len(now.rows)
    drawn = split.retain_rows(np.arange(split.num_retain))
    assert not np.isin(drawn, forget.gone).any()
    assert split.count_leaks(before.sample_ids) == len(before.rows)
    for name in ("stop_forget", "stop_retain", "holdout", "forget_test", "retain_test", "retain_train"):
        rows = getattr(split, name)
        assert not (reader.labels(rows.split, rows.rows) == 3).any()


def test_earlier_sample_requests_leave_unseen_rows_as_they_are(reader: ShardReader) -> None:
    before, now = (resolve_request(ByRandom(count=n, seed=n), reader) for n in (30, 1))
    forget = ForgetSet("sample", (), now.rows, now.sample_ids, now.data_digest, before=before)
    with_before, alone = (ForgetSplit(reader, one, seed=0, limits=RowLimits(500, 300)) for one in (forget, now))
    assert with_before.num_retain == alone.num_retain - 30
    np.testing.assert_array_equal(with_before.stop_retain.rows, alone.stop_retain.rows)
