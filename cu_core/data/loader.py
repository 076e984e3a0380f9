"""Step number -> this rank's rows. The global batch is a function of (seed, step) alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from cu_core.bounds import BatchRows, BatchRowsOrNone, Times
from cu_core.data.forget_split import MANY_CLASSES, ForgetSplit
from cu_core.data.order import EpochOrder, Rows
from cu_core.data.texts import load_batch
from cu_core.data.transforms import Augment, augment
from cu_core.dist import rank_slice
from cu_core.errors import UserError
from cu_core.salts import Salt
from cu_core.types import Batch, Tokenize, UnlearnBatch

DRAW_ROUNDS = 16
SCANNED = 2**18
"""Rows whose labels are read at once where a rare class is looked up."""
LOOKED_UP = 256
"""Most rows of a class that are looked up."""


class LeakError(RuntimeError):
    """A forget row reached the retain stream: an internal invariant is broken."""


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Global batch sizes and how they are drawn."""

    forget_batch: BatchRowsOrNone = 64
    """Forget rows of a step, over all workers; 0 for training."""
    retain_batch: BatchRows = 64
    """Retain rows of a step, over all workers."""
    omega: Times = 4
    """Retain batches (steps) for each forget batch, 1 to 4 in the paper."""
    retain_sampling: Literal["auto", "uniform", "class_aware"] = "auto"
    """``class_aware`` adds ``positives_per_class`` retain rows of every class among the step's forget rows. ``auto``:
    so, for a sample request on data with 50 classes or more, if the method pushes forget rows away from retain rows of
    their class; else ``uniform``."""
    positives_per_class: Times = 2
    """Rows of each class that ``class_aware`` adds."""
    augment: Augment = "none"
    """Augmentation of forget and retain rows: ``crop_flip`` is a random crop and a horizontal flip."""

    def __post_init__(self) -> None:
        if self.retain_batch < 1 or self.forget_batch < 0 or self.omega < 1 or self.positives_per_class < 1:
            raise UserError("retain_batch, omega and positives_per_class must be at least 1, forget_batch at least 0")

    def resolved(self, num_classes: int, needs_positives: bool) -> Batches:
        """Return the batches with ``auto`` resolved.

        Args:
            num_classes: Number of classes of the data.
            needs_positives: Whether the method compares forget rows with retain rows of their class.
        """
        if self.retain_sampling != "auto":
            return self
        return replace(
            self, retain_sampling="class_aware" if needs_positives and num_classes >= MANY_CLASSES else "uniform"
        )

    def added(self, num_classes: int, forget: int) -> int:
        """Return the largest number of retain rows that ``class_aware`` adds to a step with ``forget`` forget rows."""
        return self.positives_per_class * min(num_classes, forget) if self.retain_sampling == "class_aware" else 0


class UnlearnStream:
    """Batches by step: ``stream.rows(step)`` are the global rows, ``stream(step)`` is this rank's slice of them."""

    def __init__(self, split: ForgetSplit, batches: Batches, seed: int, tokenize: Tokenize | None = None):
        self.split, self.batches, self.seed, self.tokenize = split, batches, seed, tokenize
        self.retain_order = EpochOrder(split.num_retain, seed)
        self.forget_order = EpochOrder(max(len(split.forget.rows), 1), seed + Salt.FORGET_ORDER)
        self.leaks = 0
        self.retain_served = 0

    @property
    def same_ids(self) -> Rows:
        """Ids of the forget rows that are the same whenever they are served: all, or with augmentation none."""
        ids = self.split.forget.sample_ids
        return ids if self.batches.augment == "none" else ids[:0]

    def rows(self, step: int) -> tuple[Rows, Rows]:
        """Return the (forget rows, retain rows) of the train split over all ranks."""
        size = min(self.batches.forget_batch, len(self.split.forget.rows))
        forget = self.split.forget.rows[self.forget_order.at(step // self.batches.omega * size, size)]
        ordinals = self.retain_order.at(step * self.batches.retain_batch, self.batches.retain_batch)
        retain = self.split.retain_rows(ordinals)
        if self.batches.retain_sampling == "class_aware" and size:
            retain = np.concatenate([retain, self._positives(step, forget)])
        return forget, retain

    def _positives(self, step: int, forget: Rows) -> Rows:
        """Draw retain rows of each class among the forget rows, without an index over the data set.

        A class too rare for ``DRAW_ROUNDS`` rounds is looked up. A class of which fewer rows are retained gets these.
        """
        rng = np.random.default_rng([self.seed, step])
        reader, count = self.split.reader, self.batches.positives_per_class
        wanted = np.unique(reader.labels("train", forget))
        rows = labels = np.empty(0, np.int64)
        for _ in range(DRAW_ROUNDS):
            drawn = self.split.retain_rows(
                rng.integers(self.split.num_retain, size=4 * count * reader.manifest.num_classes)
            )
            rows = np.concatenate([rows, drawn])
            labels = np.concatenate([labels, reader.labels("train", drawn)])
            if (np.bincount(labels, minlength=reader.manifest.num_classes)[wanted] >= count).all():
                break
        drawn_of = {int(c): rows[labels == c][:count] for c in wanted}
        return np.concatenate([found if len(found) == count else self._rare(step, c) for c, found in drawn_of.items()])

    def _rare(self, step: int, label: int) -> Rows:
        """Draw retain rows of a class among those that were looked up."""
        rows, count = self._looked_up.get(label, np.empty(0, np.int64)), self.batches.positives_per_class
        if len(rows) <= count:
            return rows
        return np.sort(np.random.default_rng([self.seed, step, label]).choice(rows, count, replace=False))

    @cached_property
    def _looked_up(self) -> dict[int, Rows]:
        """Find the first ``LOOKED_UP`` retain rows of each class among all forget rows, in one pass over labels."""
        reader, split = self.split.reader, self.split
        found = {int(c): np.empty(0, np.int64) for c in np.unique(reader.labels("train", split.forget.rows))}
        for first in range(0, split.num_retain, SCANNED):
            rows = split.retain_rows(np.arange(first, min(first + SCANNED, split.num_retain)))
            labels = reader.labels("train", rows)
            lacking = [c for c, known in found.items() if len(known) < LOOKED_UP]
            here = np.isin(labels, lacking)
            for c in np.unique(labels[here]).tolist():
                found[c] = np.concatenate([found[c], rows[here][labels[here] == c]])[:LOOKED_UP]
        return found

    def _load(self, rows: Rows, step: int) -> Batch:
        mine = rows[rank_slice(len(rows))]
        stored = load_batch(self.split.reader, "train", mine, self.tokenize, self.seed, step)
        return replace(
            stored, images=augment(stored.images, self.batches.augment, stored.sample_ids.numpy(), self.seed, step)
        )

    def __call__(self, step: int) -> UnlearnBatch:
        """Load this rank's rows of a step."""
        forget_rows, retain_rows = self.rows(step)
        return UnlearnBatch(self._load(forget_rows, step), self._load(retain_rows, step))

    def _check(self, batch: UnlearnBatch, step: int) -> None:
        leaks = self.split.count_leaks(batch.retain.sample_ids.numpy())
        self.leaks += leaks
        self.retain_served += len(batch.retain)
        if leaks:
            raise LeakError(
                f"step {step}: {leaks} forget rows reached the retain stream; nothing was updated with them."
            )

    def prefetched(self, start: int, stop: int) -> Iterator[UnlearnBatch]:
        """Yield the batches of steps ``start`` to ``stop - 1``; a thread reads the next one while this one is used.

        Raises:
            LeakError: A retain row is in the forget set. Every row is checked by its id before it is yielded.
        """
        with ThreadPoolExecutor(1) as pool:
            ahead: Future[UnlearnBatch] = pool.submit(self, start)
            for step in range(start, stop):
                batch = ahead.result()
                if step + 1 < stop:
                    ahead = pool.submit(self, step + 1)
                self._check(batch, step)
                yield batch
