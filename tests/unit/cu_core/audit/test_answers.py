from __future__ import annotations

import numpy as np
import pytest

from cu_core.audit.answers import answers_of
from tests.unit.cu_core.planted import predictions, subject

LN3 = float(np.log(3.0))


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_probabilities_are_over_classes_row_by_row_and_of_rows_that_decided_nothing(kind: str) -> None:
    """Logits (ln 3, 0) are 3/4 and 1/4, whatever the row below says, and however large all of a row is."""
    made = subject(
        kind,  # type: ignore[arg-type]
        forget_train=predictions([[LN3, 0.0], [50.0, 50.0]], [1, 0]),
        forget_all=predictions(np.zeros((5, 2)), [0] * 5),
        forget_test=predictions([[0.0, LN3], [0.0, 0.0], [0.0, 0.0]], [0, 0, 0]),
        retain_test=predictions([[1000.0, 1000.0 - LN3]] * 4, [1] * 4),
        retain_train=predictions(np.zeros((6, 2)), [0] * 6),
    )
    found = answers_of(made)
    assert found.forget == pytest.approx(np.array([[0.75, 0.25], [0.5, 0.5]]), abs=1e-7)
    assert found.forget_labels.tolist() == [1, 0]
    unseen = np.array([[0.25, 0.75], [0.5, 0.5], [0.5, 0.5]])
    assert found.unseen == pytest.approx(unseen if kind == "class" else unseen[:0], abs=1e-7)
    assert found.test == pytest.approx(np.array([[0.75, 0.25]] * 4), abs=1e-4)
    assert all(x.dtype == np.float32 for x in (found.forget, found.unseen, found.test))
