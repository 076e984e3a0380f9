"""Accuracy on every set of the run, in percent."""

from __future__ import annotations

from cu_core.audit.subject import Findings, Subject
from cu_core.metrics.accuracy import accuracy


def accuracies(subject: Subject) -> Findings:
    """Compute the accuracy on each evaluated set, in percent.

    ``forget_accuracy`` covers the forget rows that did not influence when to stop; ``forget_all_accuracy`` covers all
    rows of the request. Class requests also have ``forget_test_accuracy``, and one value of it for each class if
    several classes are forgotten.
    """
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
