from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from cu_core.methods.bank import bank_rows, gather_measured
from tests.golden.tiny_model import Case
from tests.golden.tiny_split import preparation


def test_the_bank_is_a_part_of_the_retain_rows_drawn_by_the_seed() -> None:
    prep = preparation(Case(8))
    drawn = bank_rows(prep, 6)
    assert drawn.tolist() == sorted({*drawn.tolist()})
    assert len(drawn) == 6
    assert not {*drawn.tolist()} & {*prep.split.forget.rows.tolist()}
    assert bank_rows(prep, 6).tolist() == drawn.tolist()
    others = [bank_rows(replace(prep, seed=seed), 6).tolist() for seed in range(4)]
    assert any(other != drawn.tolist() for other in others)


def test_the_bank_has_no_more_rows_than_there_are() -> None:
    prep = preparation(Case(8))
    assert bank_rows(prep, 10_000).tolist() == sorted(prep.split.retain_rows(np.arange(prep.split.num_retain)))


def test_rows_are_measured_in_their_order_and_counted() -> None:
    prep = preparation(Case(8))
    rows = prep.split.forget.rows
    (ids, sums), count = gather_measured(prep, rows, lambda batch: (batch.sample_ids, batch.images.flatten(1).sum(1)))
    assert count == len(rows)
    assert ids.tolist() == prep.split.reader.sample_ids("train", rows).tolist()
    torch.testing.assert_close(sums, prep.split.reader.images("train", rows).flatten(1).sum(1))


def test_no_row_leaves_empty_columns() -> None:
    prep = preparation(Case(8))
    (ids,), count = gather_measured(prep, np.zeros(0, np.int64), lambda batch: (batch.sample_ids,))
    assert (ids.shape, count) == ((0,), 0)
