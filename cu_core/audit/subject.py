"""A model under audit with its outputs on the sets of the run, computed once: here when asked for, or in parts before.

The sets are cut into batches, and a part is every ``count``-th of them. So each batch is the same for any number of
parts, and figures do not depend on where the parts were computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from cu_core.bounds import BatchRows, Inside, Levels, Margin, Models, Rate, RowCount, Steps, Times
from cu_core.data.forget_split import ForgetSplit, RowSet
from cu_core.errors import UserError
from cu_core.models.classifier import Classifier
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import ROWS_AT_ONCE, Predictions, joined, predict
from cu_core.validation import INTERNAL

UsualAudit = Literal[
    "accuracy",
    "membership",
    "output_distance",
    "neighbours",
    "representation",
    "relearning",
    "rebound",
    "noise",
    "views",
    "retrieval",
    "wordings",
    "languages",
    "unseen_style",
]
MoreAudit = Literal["near_concepts", "hubness", "image_search", "compositions", "prompt_search"]
AuditName = Literal[UsualAudit, MoreAudit]
OF_CLASSES: tuple[MoreAudit, ...] = ("near_concepts", "compositions")
"""Audits of ``more_audits`` that are for requests of classes."""
OF_AUDITS: Mapping[str, AuditName] = {
    "paraphrases": "retrieval",
    "other_data": "retrieval",
    "languages": "languages",
    "style_column": "unseen_style",
}
"""Settings of the audit that are for image-text models, and the audit that each belongs to."""
FOR_PAIRS = (*OF_AUDITS, "more_audits")


SETS = ("forget_measured", "forget_reported", "forget_test", "retain_train", "retain_test", "holdout")
"""Sets of a split that are audited."""
POWER_MARGIN = 3.0
"""Points by which the original must differ from the oracles at least, for an audit to have power."""


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """The audit."""

    oracles: Models = 5
    """Number of models retrained without the forget set, the first from the original's initialisation. 0: none, and no
    comparison with an oracle. With fewer than 3 there is no verdict. With 3, the verdict detects large differences
    only (`cu calibrate` measures which)."""
    audits: tuple[UsualAudit, ...] | None = None
    """Audits to make; ``null``: all. The mean gap needs accuracy and membership."""
    more_audits: tuple[MoreAudit, ...] = ()
    """Image-text models: audits that are made in addition, only if they are named. They enter the verdict too, with a
    ``family_error`` of their own."""
    max_rows: RowCount = 2000
    """Largest number of retain rows and of holdout rows that are evaluated. Of test rows, of forget rows and of holdout
    rows of a forgotten class, five times as many. Of more train and test rows, those are drawn with the seed."""
    tasks: Times = 1
    """Ray tasks over which `cu unlearn` and `cu audit` split the forward passes of each model (comparisons and sweeps:
    one). Figures do not depend on it."""
    stop_rows: RowCount = 500
    """Largest number of rows of each part of the stop set."""
    report_on: Literal["test", "stop"] = field(default="test", metadata=INTERNAL)
    """Rows behind the figures. ``stop``: the stop set; searches use it so that they do not see reported rows."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Optimizer of the steps that measure rebound and relearning."""
    rebound_steps: Steps = 20
    """Training steps on retain rows after which rebound is measured."""
    rebound_lr: Rate = 0.01
    """Learning rate of these steps."""
    rebound_batch: BatchRows = 64
    """Retain rows of such a step."""
    relearn_steps: Steps = 30
    """Training steps on 5 or 50 forget rows, beside ``rebound_batch`` retain rows, by which relearning is measured."""
    relearn_lr: Rate = 0.01
    """Learning rate of these steps."""
    noise_levels: Levels = 8.0
    """Classifiers: largest change of a pixel, of 255 levels, in the audit of noise."""
    paraphrases: tuple[str, ...] = ()
    """Image-text models: other wordings of the forgotten class, which must not be recognised either."""
    other_data: tuple[str, ...] = ()
    """Image-text models: folders of other packed data with classes. Their zero-shot accuracy is measured."""
    languages: tuple[str, ...] = ()
    """Image-text models: languages in which what is forgotten is searched for; ``de`` is the column ``caption_de``."""
    style_column: str | None = None
    """Image-text models: column, such as ``style``. Test images whose value in it no training row has are measured
    separately."""
    forget_rows: Literal["auto", "half"] = "auto"
    """Sample requests: forget rows behind the figures. ``auto``: all rows, or the half that the stop rule did not read.
    ``half``: always that half, so that runs with and without a stop rule report the same rows."""
    low_fpr: Inside = 0.05
    """False-positive rate at which the true-positive rate of the attack is reported."""
    margin_points: Margin = 3.0
    """Equivalence margin: the verdict ignores differences from the oracles up to this many points. At most 3
    (``POWER_MARGIN``)."""
    family_error: Inside = 0.05
    """Largest probability that the verdict finds a new oracle different from the others (a false alarm)."""

    def __post_init__(self) -> None:
        counts = self.max_rows, self.stop_rows, self.rebound_steps, self.rebound_batch, self.relearn_steps
        if self.oracles < 0 or min(counts) < 1:
            raise UserError(
                "oracles must not be negative; max_rows, stop_rows, rebound_steps, rebound_batch and relearn_steps "
                "must be at least 1"
            )
        if not 0 < self.low_fpr < 1 or not 0 < self.family_error < 1:
            raise UserError("low_fpr and family_error must lie in (0, 1)")
        if not all(0 < value < math.inf for value in (self.margin_points, self.rebound_lr, self.relearn_lr)):
            raise UserError("margin_points, rebound_lr and relearn_lr must be positive numbers")
        if not 0 < self.noise_levels <= 255:
            raise UserError(f"noise_levels must lie in (0, 255], got {self.noise_levels:g}")
        if self.margin_points > POWER_MARGIN:
            raise UserError(
                f"margin_points must be at most {POWER_MARGIN:g}, got {self.margin_points:g}: a wider margin could not "
                f"tell the original from the oracles"
            )
        if self.audits is not None and not {"accuracy", "membership"} <= set(self.audits):
            raise UserError("audits must name accuracy and membership; the mean gap is made of them")


@dataclass(frozen=True)
class Findings:
    """Result of one audit."""

    metrics: Mapping[str, MetricResult]
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Percent after 0, 1, 2... steps."""


Part = Mapping[tuple[str, int], Predictions]
"""Predictions of batches: name of a set of the split, and number of its first row, -> predictions."""


def batches_of(split: ForgetSplit) -> Iterator[tuple[str, int, RowSet]]:
    """Yield the batches of all sets that are audited: name of the set, number of the first row, rows."""
    for name in SETS:
        rows = getattr(split, name)
        if name == "forget_reported" and _all_reported(split):
            continue
        for first in range(0, max(len(rows), 1), ROWS_AT_ONCE):
            yield name, first, RowSet(rows.split, rows.rows[first : first + ROWS_AT_ONCE])


def predict_part(model: Classifier, split: ForgetSplit, number: int, count: int) -> Part:
    """Compute the predictions of one part of the batches of all sets.

    Args:
        model: The model.
        split: The sets.
        number: Number of the part, from 0.
        count: Number of parts.

    Returns:
        The predictions, for ``Subject``.
    """
    mine = [batch for place, batch in enumerate(batches_of(split)) if place % count == number]
    return {(name, first): predict(model, split.reader, rows) for name, first, rows in mine}


def _all_reported(split: ForgetSplit) -> bool:
    """Return whether all measured forget rows are reported."""
    return np.array_equal(split.forget_reported.rows, split.forget_measured.rows)


class Subject:
    """Predictions of one model on each set; ``forget_train`` holds only rows that did not influence when to stop.

    Args:
        model: The model.
        split: The sets.
        config: Configuration of the audit.
        seed: Seed of what audits draw.
        parts: What ``predict_part`` returned for each part. Without them, a set is predicted when it is asked for.
    """

    def __init__(
        self, model: Classifier, split: ForgetSplit, config: AuditConfig, seed: int, parts: Sequence[Part] = ()
    ):
        self.model, self.split, self.config, self.seed = model, split, config, seed
        self._found = {place: found for part in parts for place, found in part.items()} if parts else None

    def _predict(self, name: str) -> Predictions:
        if self._found is None:
            return predict(self.model, self.split.reader, getattr(self.split, name))
        return joined([self._found.pop(place) for place in sorted(self._found) if place[0] == name])

    @cached_property
    def forget_all(self) -> Predictions:
        """Predictions on rows of the whole request."""
        return self._predict("forget_measured")

    @cached_property
    def forget_train(self) -> Predictions:
        """Predictions on the forget rows that are reported."""
        return self.forget_all if _all_reported(self.split) else self._predict("forget_reported")

    @cached_property
    def forget_test(self) -> Predictions:
        """Predictions on test rows of the forgotten classes."""
        return self._predict("forget_test")

    @property
    def forget_test_by_class(self) -> dict[int, Predictions]:
        """``forget_test`` of each class, if several classes are forgotten; else empty."""
        classes, whole = self.split.forget.classes, self.forget_test
        return {c: whole.where(whole.labels == c) for c in classes} if len(classes) > 1 else {}

    @cached_property
    def retain_train(self) -> Predictions:
        """Predictions on a sample of the retain rows."""
        return self._predict("retain_train")

    @cached_property
    def retain_test(self) -> Predictions:
        """Predictions on test rows that are not forgotten."""
        return self._predict("retain_test")

    @cached_property
    def holdout(self) -> Predictions:
        """Predictions on rows that no model was trained on."""
        return self._predict("holdout")
