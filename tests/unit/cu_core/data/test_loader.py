from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cu_core.data.forget_split import ForgetSplit
from cu_core.data.loader import Batches, LeakError, UnlearnStream
from cu_core.data.requests import load_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.data.transforms import augment


@pytest.fixture(params=["class", "sample"])
def split(
    request: pytest.FixtureRequest, reader: ShardReader, class_request: Path, sample_request: Path
) -> ForgetSplit:
    path = class_request if request.param == "class" else sample_request
    forget = load_forget_set(path, reader.manifest.digest)
    return ForgetSplit(reader, forget, seed=0, stop_rows=500, max_rows=2000)


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
    split = ForgetSplit(reader, forget, seed=0, stop_rows=500, max_rows=2000)
    assert 10 <= len(split.forget_stop) <= 30


def test_what_a_tuning_seed_saw_no_other_seed_reports(reader: ShardReader, sample_request: Path) -> None:
    forget = load_forget_set(sample_request, reader.manifest.digest)
    tuning = ForgetSplit(reader, forget, seed=9, stop_rows=500, max_rows=2000, tuning=True)
    other = ForgetSplit(reader, forget, seed=0, stop_rows=500, max_rows=2000)
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
    split = ForgetSplit(reader, forget, seed=0, stop_rows=500, max_rows=2000)
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
