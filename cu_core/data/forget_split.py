"""The disjoint sets of a run: what is forgotten, retained, used to stop, held out, and reported."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cu_core.data.order import EpochOrder, Rows, hash64
from cu_core.data.requests import ForgetSet
from cu_core.data.retain_pool import retain_pool, two_pools
from cu_core.data.schema import Split
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import DataError
from cu_core.salts import Salt

FEWEST_HALVED = 20
MANY_CLASSES = 50
"""Number of classes from which on a set that is cut to its limit is drawn at random. The rows of val lie in the order
of the source, which may be by class: the first rows would then be of a few classes."""
MEASURED_SHARDS = 10
"""Number of shards on which retain figures are measured if retain rows are drawn from only some of the shards."""


@dataclass(frozen=True)
class RowSet:
    """Some rows of one split."""

    split: Split
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)


class RowLimits(NamedTuple):
    """Largest numbers of rows of a set."""

    stop: int
    """Of each part of the stop set."""
    measured: int
    """Of retain rows and of holdout rows that are evaluated; of test rows, of forget rows and of holdout rows of a
    forgotten class, five times as many."""


class ForgetSplit:
    """Sets of one request on one data set; all are functions of the data, the request and ``seed``.

    ``val`` is halved by a hash of the sample_id into the stop set (decides when to stop) and the holdout set
    (non-members for attacks). For sample requests the forget set is halved in the same way into rows that decide and
    rows that are reported. The halves are the same for every seed, so that rows seen while tuning with one seed are not
    reported with another. Fewer than ``FEWEST_HALVED`` forget rows are not halved: all decide, and all are reported.
    Without ``halve`` no forget row decides.

    At most ``limits`` rows of a set are evaluated, drawn without looking at the data.

    Rows that were forgotten before (``ForgetSet.before``) are in no set; neither are rows of val and test whose class
    was forgotten before.

    With ``tuning``, the stop set is reported instead: test and holdout rows are not used, and of a sample request only
    the half that decides. The one exception is ``forget_measured``, rows of the whole request.

    With ``retain_shards``, retain rows are drawn from that many training shards, chosen with ``seed``. No other shard
    is opened for them, except a few whose rows are measured, since rows that were trained on repeatedly do not
    represent the rest. Of val and test equally few shards are opened, the same for every seed, and equally many that
    may hold a forgotten class.

    Raises:
        DataError: The data has no val or no test split, or fewer shards than ``retain_shards``.
    """

    def __init__(
        self,
        reader: ShardReader,
        forget: ForgetSet,
        *,
        seed: int,
        limits: RowLimits,
        tuning: bool = False,
        halve: bool = True,
        retain_shards: int | None = None,
    ):
        for split in ("val", "test"):
            if reader.num_rows(split) == 0:
                raise DataError(
                    f"{reader.folder} has no {split} split; unlearning needs train, val and test "
                    f"(val decides when to stop and serves as non-members)."
                )
        self.reader, self.forget, self.seed = reader, forget, seed
        self.limits, self.tuning, self.halve = limits, tuning, halve
        self.retain_shards = retain_shards
        self.num_train = reader.num_rows("train")
        if retain_shards is None:
            self.pool = retain_pool(np.zeros(1, np.int64), np.array([self.num_train]), forget.gone)
            self.measured = self.pool
        else:
            spans = reader.shard_spans()
            self.pool, self.measured = two_pools(*spans, forget.gone, retain_shards, MEASURED_SHARDS, seed)

    @property
    def num_retain(self) -> int:
        """Number of retain rows."""
        return self.pool.size

    def retain_rows(self, ordinals: Rows) -> Rows:
        """Return the training row of the k-th retain sample, for each k in ``ordinals``."""
        return self.pool.rows(ordinals)

    def count_leaks(self, sample_ids: Rows) -> int:
        """Count the ids of rows that are forgotten now or were before; uses ids only, not how the rows were drawn."""
        return int(np.isin(sample_ids, self.forget.gone_ids).sum())

    @cached_property
    def forget_set(self) -> RowSet:
        """All forget rows."""
        return RowSet("train", self.forget.rows)

    @property
    def halved(self) -> bool:
        """Whether the forget rows of a sample request that decide differ from those that are reported."""
        return len(self.forget.rows) >= FEWEST_HALVED

    def _half(self, which: int, rows: Rows, ids: Rows) -> Rows:
        chosen: Rows = rows[hash64(ids, Salt.FORGET_HALF) % np.uint64(2) == which]
        return chosen

    @cached_property
    def _deciding(self) -> Rows:
        """Forget rows that may decide when to stop: half of a sample request, none of a class request."""
        rows = self.forget.rows
        if self.forget.kind == "class" or not self.halve:
            return rows[:0]
        return self._half(0, rows, self.forget.sample_ids) if self.halved else rows

    @cached_property
    def forget_stop(self) -> RowSet:
        """Forget rows that decide when to stop; empty for a class request."""
        return RowSet("train", self._drawn(self._deciding, self.limits.stop))

    @cached_property
    def forget_measured(self) -> RowSet:
        """Rows of the whole request on which figures are measured."""
        return RowSet("train", self._drawn(self.forget.rows, 5 * self.limits.measured))

    @cached_property
    def forget_reported(self) -> RowSet:
        """Forget rows that did not decide when to stop, on which figures are measured."""
        if self.forget.kind == "sample" and self.halve and (self.tuning or not self.halved):
            rows = self._deciding
        else:
            rows = np.setdiff1d(self.forget.rows, self._deciding)
        return RowSet("train", self._drawn(rows, 5 * self.limits.measured))

    def _drawn(self, rows: Rows, most: int) -> Rows:
        """Return the rows, or ``most`` of them in their order, drawn with the seed."""
        if len(rows) <= most:
            return rows
        order = EpochOrder(len(rows), self.seed + Salt.MEASURED_FORGET).at(0, most)
        return np.sort(rows[order])

    @cached_property
    def retain_train(self) -> RowSet:
        """Retain rows on which accuracy and attacks are measured."""
        pool = self.measured
        order = EpochOrder(pool.size, self.seed + Salt.MEASURED_ROWS).at(0, min(pool.size, self.limits.measured))
        return RowSet("train", np.sort(pool.rows(order)))

    def _in_class(self, rows: RowSet) -> NDArray[np.bool_]:
        labels = self.reader.labels(rows.split, rows.rows)
        return np.isin(labels, self.forget.classes)

    def _unseen(self, split: Split) -> Rows:
        """Return the rows of val or test that may be used."""
        rows, before = self._all_unseen(split), self.forget.before
        if before is None or not before.classes:
            return rows
        kept: Rows = rows[~np.isin(self.reader.labels(split, rows), before.classes)]
        return kept

    def _all_unseen(self, split: Split) -> Rows:
        if self.retain_shards is None:
            return np.arange(self.reader.num_rows(split), dtype=np.int64)
        firsts, counts = self.reader.shard_spans(split)
        drawn = np.argsort(hash64(np.arange(len(counts)), Salt.MEASURED_SHARDS), kind="stable")
        some = drawn[:MEASURED_SHARDS]
        if self.forget.classes:
            holding = drawn[np.isin(drawn, self.reader.may_hold(split, self.forget.classes))]
            some = np.union1d(some, holding[:MEASURED_SHARDS])
        return np.concatenate([np.arange(firsts[n], firsts[n] + counts[n]) for n in np.sort(some)])

    @cached_property
    def _val_halves(self) -> tuple[RowSet, RowSet]:
        rows = self._unseen("val")
        ids = self.reader.sample_ids("val", rows)
        return RowSet("val", self._half(0, rows, ids)), RowSet("val", self._half(1, rows, ids))

    @cached_property
    def stop_forget(self) -> RowSet:
        """Unseen rows of the forgotten class (class request); empty for samples."""
        half = self._val_halves[0]
        return RowSet("val", self._first(half.rows[self._in_class(half)], self.limits.stop))

    @cached_property
    def stop_retain(self) -> RowSet:
        """Unseen rows of what is retained: the guard of utility, and the target of a sample request."""
        half = self._val_halves[0]
        return RowSet("val", self._first(half.rows[~self._in_class(half)], self.limits.stop))

    def _first(self, rows: Rows, most: int) -> Rows:
        """Return the first rows; of data with many classes, that many in their order, the same for every seed."""
        if len(rows) <= most or self.reader.manifest.num_classes < MANY_CLASSES:
            return rows[:most]
        return np.sort(rows[EpochOrder(len(rows), Salt.UNSEEN_ROWS).at(0, most)])

    @cached_property
    def holdout(self) -> RowSet:
        """Rows never trained on that decide nothing: non-members for attacks, more of them of a forgotten class."""
        half = self._val_halves[0 if self.tuning else 1]
        inside, most = self._in_class(half), self.limits.measured
        parts = self._first(half.rows[inside], 5 * most), self._first(half.rows[~inside], most)
        return RowSet("val", np.sort(np.concatenate(parts)))

    @cached_property
    def _test(self) -> RowSet:
        if self.tuning:
            return RowSet("val", self._first(self._val_halves[0].rows, 5 * self.limits.measured))
        rows = self._unseen("test")
        order = EpochOrder(len(rows), self.seed + Salt.TEST_ROWS).at(0, min(len(rows), 5 * self.limits.measured))
        return RowSet("test", rows[np.sort(order)])

    @cached_property
    def forget_test(self) -> RowSet:
        """Test rows of the forgotten class; empty for samples."""
        return RowSet(self._test.split, self._test.rows[self._in_class(self._test)])

    @cached_property
    def retain_test(self) -> RowSet:
        """Test rows of everything retained (for samples: the whole test set)."""
        return RowSet(self._test.split, self._test.rows[~self._in_class(self._test)])
