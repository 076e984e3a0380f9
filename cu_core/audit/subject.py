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

AuditName = Literal[
    "accuracy", "membership", "output_distance", "neighbours", "representation", "relearning", "rebound", "retrieval"
]


POWER_MARGIN = 3.0
"""Points by which the original must differ from the oracles at least, for an audit to have power."""


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """How the result is audited."""

    oracles: int = 5
    """How many models are retrained without the forget set, the first from the original's initialisation; 0: none,
    and every comparison with an oracle is then absent. Under 3 there is no verdict; with 3 it sees large differences
    only (`cu calibrate` says which)."""
    audits: tuple[AuditName, ...] | None = None
    """Which audits are made; absent: all. The mean gap needs accuracy and membership."""
    max_rows: int = 2000
    """Most retain, holdout and (five times as many) test rows that are evaluated."""
    stop_rows: int = 500
    """Most rows of each part of the stop set."""
    report_on: Literal["test", "stop"] = "test"
    """Rows behind the figures; ``stop``: the stop set, for choosing settings without a look at what is reported."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Of the steps by which rebound and relearning are measured."""
    rebound_steps: int = 20
    """Plain steps on retain rows after which the forgotten class must not have come back."""
    rebound_lr: float = 0.01
    rebound_batch: int = 64
    relearn_steps: int = 30
    """Plain steps on 5 or 50 forget rows, with as many retain rows as a rebound batch."""
    relearn_lr: float = 0.01
    paraphrases: tuple[str, ...] = ()
    """Image-text models: captions that describe the forgotten class in other words. None of them should find it."""
    other_data: tuple[str, ...] = ()
    """Image-text models: folders of other packed data with classes, whose zero-shot accuracy must not suffer."""
    forget_rows: Literal["auto", "half"] = "auto"
    """Sample requests: forget rows behind the figures. ``auto``: all, or, where a stop rule decided on half of them,
    the other half. ``half``: that half in any case, so that runs with and without a stop rule report the same rows."""
    low_fpr: float = 0.05
    """False-positive rate at which the attack's true-positive rate is given."""
    margin_points: float = 3.0
    """Equivalence margin: differences from the oracle up to this many points count as none in the verdict; at most
    ``POWER_MARGIN``."""
    family_error: float = 0.05
    """Probability that one more oracle fails on any of the judged metrics."""

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
