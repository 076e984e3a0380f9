from __future__ import annotations

import numpy as np
import pytest

from cu_core.data.loader import Batches, UnlearnStream
from cu_core.types import UnlearnBatch
from tests.golden.tiny_model import CLASSES, Case, rows
from tests.golden.tiny_split import preparation

FORGET, RETAIN = 12, 40


def stream(batches: Batches, seed: int = 3) -> UnlearnStream:
    parts = (rows([n % CLASSES for n in range(count)], 0, first) for count, first in ((FORGET, 40), (RETAIN, 900)))
    return UnlearnStream(preparation(Case(0, batch=UnlearnBatch(*parts))).split, batches, seed)


@pytest.mark.parametrize("omega", [1, 2, 4])
def test_a_forget_batch_is_repeated_for_omega_fresh_retain_batches(omega: int) -> None:
    """Batches of 3: after 4 omega steps each of 12 forget rows was in one batch; every 8 steps of 5 see all retain
    rows once."""
    found = stream(Batches(forget_batch=3, retain_batch=5, omega=omega))
    forget = [sorted(found.rows(step)[0].tolist()) for step in range(8 * omega)]
    for first in range(0, 8 * omega, omega):
        assert all(batch == forget[first] for batch in forget[first : first + omega])
    passes = [sum(forget[first : first + 4 * omega : omega], []) for first in (0, 4 * omega)]
    assert [sorted(p) for p in passes] == [sorted(found.split.forget.rows)] * 2
    assert passes[0] != passes[1]
    for first in (0, 8):
        retain = np.concatenate([found.rows(step)[1] for step in range(first, first + 8)])
        assert sorted(retain) == sorted(found.split.retain_rows(np.arange(RETAIN)))


def test_omega_is_four_by_default() -> None:
    assert (Batches().omega, Batches().forget_batch, Batches().retain_batch) == (4, 64, 64)


def test_class_aware_batches_add_rows_of_each_class_to_forget() -> None:
    found = stream(Batches(forget_batch=2, retain_batch=5, retain_sampling="class_aware", positives_per_class=3))
    reader = found.split.reader
    for step in (0, 4, 8):
        forget, retain = found.rows(step)
        classes = sorted(set(reader.labels("train", forget).tolist()))
        added = reader.labels("train", retain[5:]).tolist()
        assert added == [c for c in classes for _ in range(3)]
        assert not set(retain) & set(found.split.forget.rows)


def test_no_more_forget_rows_than_there_are() -> None:
    found = stream(Batches(forget_batch=50, retain_batch=5, omega=2))
    assert sorted(found.rows(1)[0]) == sorted(found.split.forget.rows)
