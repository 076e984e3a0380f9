"""A model under audit with its outputs on the sets of the run, computed once and only when asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from cu_core.data.forget_split import ForgetSplit
from cu_core.errors import UserError
from cu_core.models.classifier import Classifier
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import Predictions, predict
from cu_core.validation import INTERNAL

AuditName = Literal[
    "accuracy", "membership", "output_distance", "neighbours", "representation", "relearning", "rebound", "retrieval"
]


POWER_MARGIN = 3.0
"""Points by which the original must differ from the oracles at least, for an audit to have power."""


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """The audit."""

    oracles: int = 5
    """Number of models retrained without the forget set, the first from the original's initialisation. 0: none, and no
    comparison with an oracle. With fewer than 3 there is no verdict. With 3, the verdict detects large differences
    only (`cu calibrate` measures which)."""
    audits: tuple[AuditName, ...] | None = None
    """Audits to make; ``null``: all. The mean gap needs accuracy and membership."""
    max_rows: int = 2000
    """Largest number of retain rows and of holdout rows that are evaluated; of test rows, five times as many."""
    stop_rows: int = 500
    """Largest number of rows of each part of the stop set."""
    report_on: Literal["test", "stop"] = field(default="test", metadata=INTERNAL)
    """Rows behind the figures. ``stop``: the stop set; searches use it so that they do not see reported rows."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Optimizer of the steps that measure rebound and relearning."""
    rebound_steps: int = 20
    """Training steps on retain rows after which rebound is measured."""
    rebound_lr: float = 0.01
    """Learning rate of these steps."""
    rebound_batch: int = 64
    """Retain rows of such a step."""
    relearn_steps: int = 30
    """Training steps on 5 or 50 forget rows, beside ``rebound_batch`` retain rows, by which relearning is measured."""
    relearn_lr: float = 0.01
    """Learning rate of these steps."""
    paraphrases: tuple[str, ...] = ()
    """Image-text models: other wordings of the forgotten class, which must not be recognised either."""
    other_data: tuple[str, ...] = ()
    """Image-text models: folders of other packed data with classes. Their zero-shot accuracy is measured."""
    forget_rows: Literal["auto", "half"] = "auto"
    """Sample requests: forget rows behind the figures. ``auto``: all rows, or the half that the stop rule did not read.
    ``half``: always that half, so that runs with and without a stop rule report the same rows."""
    low_fpr: float = 0.05
    """False-positive rate at which the true-positive rate of the attack is reported."""
    margin_points: float = 3.0
    """Equivalence margin: the verdict ignores differences from the oracles up to this many points. At most 3
    (``POWER_MARGIN``)."""
    family_error: float = 0.05
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


class Subject:
    """Predictions of one model on each set; ``forget_train`` holds only rows that did not influence when to stop."""

    def __init__(self, model: Classifier, split: ForgetSplit, config: AuditConfig, seed: int):
        self.model, self.split, self.config, self.seed = model, split, config, seed

    def _predict(self, name: str) -> Predictions:
        return predict(self.model, self.split.reader, getattr(self.split, name))

    @cached_property
    def forget_all(self) -> Predictions:
        """Predictions on all rows of the request."""
        return self._predict("forget_set")

    @cached_property
    def forget_train(self) -> Predictions:
        """Predictions on the forget rows that are reported."""
        return self._predict("forget_reported")

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
