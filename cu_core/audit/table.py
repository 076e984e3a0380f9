"""All metrics of an audit, by name, and the audits that compute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from cu_core.audit.accuracy import accuracies
from cu_core.audit.membership import membership
from cu_core.audit.rebound import rebound
from cu_core.audit.representation import representation
from cu_core.audit.subject import Subject
from cu_core.types import MetricResult, RequestKind

AUDITS: dict[str, Callable[[Subject], dict[str, MetricResult]]] = {
    "accuracy": accuracies,
    "membership": membership,
    "representation": representation,
    "rebound": rebound,
}


@dataclass(frozen=True)
class Metric:
    """A row of the METRICS table."""

    audit: str
    """The audit that computes it."""
    title: str
    side: Literal["forget", "utility"]
    """What a lower value means: ``forget``, more was forgotten; ``utility``, more was damaged."""
    kinds: tuple[RequestKind, ...] = ("class", "sample")
    scale: float = 1.0
    """Factor to points (0..100)."""
    in_gap: bool = False
    """Whether it enters the mean oracle gap."""

    def points(self, result: MetricResult) -> float:
        return self.scale * result.value


CLASS: tuple[RequestKind, ...] = ("class",)
METRICS: Mapping[str, Metric] = {
    "forget_accuracy": Metric("accuracy", "forget set, train (%)", "forget", in_gap=True),
    "forget_all_accuracy": Metric("accuracy", "forget set, train, all rows (%)", "forget"),
    "forget_test_accuracy": Metric("accuracy", "forgotten class, test (%)", "forget", CLASS, in_gap=True),
    "retain_accuracy": Metric("accuracy", "retain set, train (%)", "utility", in_gap=True),
    "test_accuracy": Metric("accuracy", "retain, test (%)", "utility", in_gap=True),
    "mia_auc": Metric("membership", "MIA AUC, loss (x100)", "forget", scale=100, in_gap=True),
    "mia_tpr_low_fpr": Metric("membership", "MIA TPR at a low FPR (%)", "forget"),
    "member_prediction_rate": Metric("membership", "forget rows taken for members (%)", "forget"),
    "mia_logistic_auc": Metric("membership", "MIA AUC, logistic (x100)", "forget", scale=100),
    "probe_accuracy": Metric("representation", "linear probe, forgotten class (%)", "forget", CLASS),
    "prototype_recovery": Metric("representation", "5-shot recovery, forgotten class (%)", "forget", CLASS),
    "rebound_accuracy": Metric("rebound", "rebound on retain data (%)", "forget", CLASS),
}


def metrics_of(kind: RequestKind) -> dict[str, Metric]:
    return {name: metric for name, metric in METRICS.items() if kind in metric.kinds}


def audit_model(subject: Subject) -> dict[str, MetricResult]:
    """Every metric of the request's kind."""
    results: dict[str, MetricResult] = {}
    for run in AUDITS.values():
        results |= run(subject)
    return {name: results[name] for name in metrics_of(subject.split.forget.kind)}
