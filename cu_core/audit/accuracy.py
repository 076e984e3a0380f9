"""Accuracy on every set of the run, in percent."""

from __future__ import annotations

from cu_core.audit.subject import Findings, Subject
from cu_core.metrics.accuracy import accuracy


def accuracies(subject: Subject) -> Findings:
    """``forget_accuracy`` covers rows that decided nothing, ``forget_all_accuracy`` all rows of the request; of several
    forgotten classes each has its own ``forget_test_accuracy`` too."""
    sets = {
        "forget_accuracy": subject.forget_train,
        "forget_all_accuracy": subject.forget_all,
        "retain_accuracy": subject.retain_train,
        "test_accuracy": subject.retain_test,
    }
    if subject.split.forget.kind == "class":
        sets["forget_test_accuracy"] = subject.forget_test
        sets |= {f"forget_test_accuracy/{c}": part for c, part in subject.forget_test_by_class.items()}
    return Findings({name: accuracy(predictions.correct) for name, predictions in sets.items()})
