from __future__ import annotations

import pytest

from cu_core.audit.accuracy import accuracies
from tests.unit.cu_core.planted import answers, subject


def right(hits: int, rows: int) -> object:
    """So many right answers; a right answer has probability 0.9."""
    return answers([0.9] * hits + [0.2] * (rows - hits), [0] * rows)


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_each_figure_is_of_its_own_rows(kind: str) -> None:
    sets = {
        "forget_train": right(1, 4),
        "forget_all": right(2, 5),
        "retain_train": right(7, 8),
        "retain_test": right(3, 4),
        "forget_test": right(1, 10),
    }
    found = {n: (m.value, m.count) for n, m in accuracies(subject(kind, **sets)).metrics.items()}
    want = {
        "forget_accuracy": (25, 4),
        "forget_all_accuracy": (40, 5),
        "retain_accuracy": (87.5, 8),
        "test_accuracy": (75, 4),
    }
    assert found == want | ({"forget_test_accuracy": (10, 10)} if kind == "class" else {})


def test_of_several_forgotten_classes_each_has_its_own_test_accuracy() -> None:
    whole = answers([0.9, 0.9, 0.9, 0.2, 0.2], [3, 1, 3, 3, 3], 4)
    made = subject("class", classes=(1, 3), forget_test=whole, forget_train=whole, forget_all=whole)
    vars(made).update(retain_train=whole, retain_test=whole)
    found = {n: (m.value, m.count) for n, m in accuracies(made).metrics.items() if n.startswith("forget_test")}
    assert found == {
        "forget_test_accuracy": (60, 5),
        "forget_test_accuracy/1": (100, 1),
        "forget_test_accuracy/3": (50, 4),
    }
