from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cu_core.data import loader
from cu_core.data.forget_split import ForgetSplit, RowLimits
from cu_core.data.loader import Batches, LeakError, UnlearnStream
from cu_core.data.order import EpochOrder
from cu_core.data.requests import load_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.data.transforms import augment
from tests.unit.cu_core.planted import PlantedReader, planted_split


@pytest.fixture(params=["class", "sample"])
def split(
    request: pytest.FixtureRequest, reader: ShardReader, class_request: Path, sample_request: Path
) -> ForgetSplit:
    path = class_request if request.param == "class" else sample_request
    forget = load_forget_set(path, reader.manifest.digest)
    return ForgetSplit(reader, forget, seed=0, limits=RowLimits(500, 2000))


def ids(split: ForgetSplit, name: str) -> set[int]:
    rows = getattr(split, name)
    return set(split.reader.sample_ids(rows.split, rows.rows).tolist())


def test_the_sets_are_disjoint_and_complete(split: ForgetSplit) -> None:
    forget, retain = ids(split, "forget_set"), ids(split, "retain_train")
    assert not forget & retain
    assert len(forget) + len(retain) == split.num_train
    unseen = ["stop_forget", "stop_retain", "holdout", "forget_test", "retain_test"]
    everything = [ids(split, name) for name in unseen] + [forget, retain]
    assert len(set.union(*everything)) == sum(map(len, everything)) == 1797
    assert ids(split, "forget_stop") | ids(split, "forget_reported") == forget
    assert not ids(split, "forget_stop") & ids(split, "forget_reported")


def test_stop_rows_of_samples_are_about_half(reader: ShardReader, sample_request: Path) -> None:
    forget = load_forget_set(sample_request, reader.manifest.digest)
    split = ForgetSplit(reader, forget, seed=0, limits=RowLimits(500, 2000))
    assert 10 <= len(split.forget_stop) <= 30


def test_what_a_tuning_seed_saw_no_other_seed_reports(reader: ShardReader, sample_request: Path) -> None:
    forget = load_forget_set(sample_request, reader.manifest.digest)
    tuning = ForgetSplit(reader, forget, seed=9, limits=RowLimits(500, 2000), tuning=True)
    other = ForgetSplit(reader, forget, seed=0, limits=RowLimits(500, 2000))
    for name in ("forget_reported", "holdout", "retain_test"):
        assert not ids(tuning, name) & ids(other, name)


def test_batches_are_a_function_of_seed_and_step(split: ForgetSplit) -> None:
    first, again = (UnlearnStream(split, Batches(forget_batch=8, retain_batch=12, omega=2), seed=3) for _ in range(2))
    for step in (0, 1, 50):
        got, want = first(step), again(step)
        assert torch.equal(got.retain.images, want.retain.images)
        assert torch.equal(got.forget.sample_ids, want.forget.sample_ids)
    assert torch.equal(first(0).forget.sample_ids, first(1).forget.sample_ids)  # omega: one forget batch, two retain
    assert not torch.equal(first(0).retain.sample_ids, first(1).retain.sample_ids)
    assert not torch.equal(first(1).forget.sample_ids, first(2).forget.sample_ids)


def test_an_epoch_of_the_retain_stream_serves_every_retain_row_once(split: ForgetSplit) -> None:
    stream = UnlearnStream(split, Batches(forget_batch=8, retain_batch=split.num_retain, omega=1), seed=0)
    rows = stream.rows(0)[1]
    assert len(np.unique(rows)) == split.num_retain
    assert not np.isin(rows, split.forget.rows).any()


def test_class_aware_sampling_gives_every_anchor_its_positives(reader: ShardReader, sample_request: Path) -> None:
    forget = load_forget_set(sample_request, reader.manifest.digest)
    split = ForgetSplit(reader, forget, seed=0, limits=RowLimits(500, 2000))
    batches = Batches(forget_batch=8, retain_batch=1, retain_sampling="class_aware", positives_per_class=2)
    stream = UnlearnStream(split, batches, seed=0)
    for step in range(0, 40, 4):
        forget_rows, retain_rows = stream.rows(step)
        counts = np.bincount(reader.labels("train", retain_rows), minlength=10)
        assert (counts[np.unique(reader.labels("train", forget_rows))] >= 2).all()
        assert not np.isin(retain_rows, split.forget.rows).any()


def test_a_planted_forget_row_is_caught(split: ForgetSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = UnlearnStream(split, Batches(forget_batch=4, retain_batch=6), seed=0)
    honest = stream.rows
    planted = split.forget.rows[:6]
    monkeypatch.setattr(stream, "rows", lambda step: (honest(step)[0], planted) if step == 1 else honest(step))
    batches = stream.prefetched(0, 3)
    next(batches)
    with pytest.raises(LeakError, match="step 1: 6 forget rows reached the retain stream"):
        next(batches)
    assert (stream.leaks, stream.retain_served) == (6, 12)


def test_augmentation_depends_on_sample_step_and_seed_only() -> None:
    images = torch.arange(2 * 8 * 8, dtype=torch.uint8).view(2, 1, 8, 8)
    both = augment(images, "crop_flip", np.array([5, 6]), 1, 2)
    alone = augment(images[1:], "crop_flip", np.array([6]), 1, 2)
    assert torch.equal(both[1:], alone)
    others = [augment(images[1:], "crop_flip", np.array([6]), 1, step) for step in range(3, 9)]
    assert any(not torch.equal(alone, other) for other in others)
    assert torch.equal(augment(images, "none", np.array([5, 6]), 1, 2), images)


def few(batches: Batches, seed: int = 0) -> UnlearnStream:
    """10 forget rows of class 0 (train rows 0 to 9) and 30 retain rows of classes 0, 1, 2."""
    reader = PlantedReader(train=[0] * 10 + [0, 1, 2] * 10, val=[0, 1] * 8, test=[0, 1] * 4)
    return UnlearnStream(planted_split(reader, "sample", list(range(10))), batches, seed)


def test_rows_are_those_of_two_orders_with_seeds_of_their_own() -> None:
    """Retain rows: the order of seed 5 over 30 rows, past the forget rows; forget rows: that of seed 6 over 10."""
    stream = few(Batches(forget_batch=4, retain_batch=7, omega=3), seed=5)
    for step in range(12):
        forget, retain = stream.rows(step)
        np.testing.assert_array_equal(forget, EpochOrder(10, 6).at(step // 3 * 4, 4))
        np.testing.assert_array_equal(retain, 10 + EpochOrder(30, 5).at(step * 7, 7))


def test_a_forget_batch_is_no_larger_than_the_forget_set_and_none_is_none() -> None:
    stream = few(Batches(forget_batch=64, retain_batch=8, omega=1))
    assert sorted(stream.rows(0)[0]) == sorted(stream.rows(1)[0]) == list(range(10))
    assert len(few(Batches(forget_batch=0, retain_batch=8)).rows(3)[0]) == 0


def test_a_class_too_rare_to_be_drawn_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 rows of 60 classes: of class 0, five rows beside two that are forgotten; of class 1, one beside one; of
    class 2, none beside one."""
    monkeypatch.setattr(loader, "DRAW_ROUNDS", 1)
    monkeypatch.setattr(loader, "SCANNED", 300)
    labels = np.resize(np.arange(3, 60), 2000)
    labels[[0, 1, 400, 800, 1200, 1600, 1999]], labels[[2, 500]], labels[3] = 0, 1, 2
    reader = PlantedReader(train=labels.tolist(), val=[0, 1] * 8, test=[0, 1] * 4)
    split = planted_split(reader, "sample", [0, 1, 2, 3, 10])
    batches = Batches(forget_batch=5, retain_batch=4, retain_sampling="class_aware", positives_per_class=2)
    drawn = set()
    for step in range(12):
        stream = UnlearnStream(split, batches, seed=0)  # without what another stream looked up
        extra = stream.rows(step)[1][4:]
        counts = np.bincount(labels[extra], minlength=60)
        assert (counts[0], counts[1], counts[2], counts[labels[10]]) == (2, 1, 0, 2)
        assert not np.isin(extra, split.forget.rows).any()
        drawn |= set(extra[labels[extra] == 0].tolist())
        np.testing.assert_array_equal(stream.rows(step)[1][4:], extra)
    assert drawn == {400, 800, 1200, 1600, 1999}


@pytest.mark.parametrize(
    ("sampling", "classes", "needed", "found"),
    [
        ("auto", 50, True, "class_aware"),
        ("auto", 49, True, "uniform"),
        ("auto", 1000, False, "uniform"),
        ("uniform", 1000, True, "uniform"),
        ("class_aware", 2, False, "class_aware"),
    ],
)
def test_positives_are_added_by_default_where_chance_would_miss_them(
    sampling: Any, classes: int, needed: bool, found: str
) -> None:
    resolved = Batches(retain_sampling=sampling, positives_per_class=3).resolved(classes, needed)
    assert resolved.retain_sampling == found
    assert resolved.added(classes, 7) == (3 * min(classes, 7) if found == "class_aware" else 0)


def test_every_forget_class_gets_its_retain_rows_drawn_with_seed_and_step() -> None:
    batches = Batches(forget_batch=4, retain_batch=6, omega=1, retain_sampling="class_aware", positives_per_class=3)
    found = {}
    for seed in (0, 1):
        stream = few(batches, seed)
        for step in (0, 1):
            extra = stream.rows(step)[1][6:]
            assert len(extra) == 3
            assert all(row >= 10 and (row - 10) % 3 == 0 for row in extra)  # retain rows of class 0
            found[seed, step] = tuple(extra)
            np.testing.assert_array_equal(extra, stream.rows(step)[1][6:])
    assert len(set(found.values())) == 4


def test_images_are_augmented_anew_in_every_step_and_with_every_seed(split: ForgetSplit) -> None:
    """The same forget batch in steps 0 and 1 (omega 2): the same rows, in other crops. So with another seed."""
    batches = Batches(forget_batch=32, retain_batch=32, omega=2, augment="crop_flip")
    stream = UnlearnStream(split, batches, seed=3)
    first, second = stream(0), stream(1)
    assert torch.equal(first.forget.sample_ids, second.forget.sample_ids)
    for part, step, seed in ((first.forget, 0, 3), (second.forget, 1, 3), (first.retain, 0, 3), (second.retain, 1, 3)):
        ids = part.sample_ids.numpy()
        rows = np.array([np.flatnonzero(train_ids(split) == i)[0] for i in ids])
        plain = split.reader.images("train", rows)
        assert torch.equal(part.images, augment(plain, "crop_flip", ids, seed, step))
    assert not torch.equal(first.forget.images, second.forget.images)


def train_ids(split: ForgetSplit) -> np.ndarray:
    return split.reader.sample_ids("train", np.arange(split.num_train))


def test_served_rows_are_counted_and_come_in_step_order() -> None:
    stream = few(Batches(forget_batch=4, retain_batch=6, omega=1))
    served = list(stream.prefetched(2, 5))
    for step, batch in zip(range(2, 5), served, strict=True):
        forget, retain = stream.rows(step)
        reader = stream.split.reader
        assert batch.forget.sample_ids.tolist() == reader.sample_ids("train", forget).tolist()
        assert batch.retain.sample_ids.tolist() == reader.sample_ids("train", retain).tolist()
        assert batch.retain.labels.tolist() == reader.labels("train", retain).tolist()
    assert (stream.retain_served, stream.leaks) == (18, 0)


def test_one_leaked_row_among_many_is_enough() -> None:
    stream = few(Batches(forget_batch=4, retain_batch=6, omega=1))
    honest = stream.rows
    stream.rows = lambda step: (honest(step)[0], np.r_[honest(step)[1][:5], 9])  # type: ignore[method-assign]
    with pytest.raises(LeakError, match="step 0: 1 forget rows"):
        next(stream.prefetched(0, 1))
    assert stream.leaks == 1


@pytest.mark.parametrize(
    "values", [{"retain_batch": 0}, {"forget_batch": -1}, {"omega": 0}, {"positives_per_class": 0}]
)
def test_impossible_batches_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Batches(**values)
